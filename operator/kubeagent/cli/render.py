"""A verdict as text: a tree from the symptom to the root that fits a terminal, then the evidence line by line."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import EvidenceLine, Outcome, RootCause, Verdict

_MARK = {
    Outcome.ROOT_CAUSE_FOUND: ("✗", "bold red"),
    Outcome.NO_FAULT_FOUND: ("✓", "bold green"),
    Outcome.UNDETERMINED: ("?", "bold yellow"),
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def render(verdict: Verdict, target: ObjectKey, now: datetime, console: Console) -> None:
    """Print the verdict."""
    console.print(_heading(verdict, target))
    for number, cause in enumerate(verdict.root_causes, start=1):
        console.print(_cause(cause, now, number if len(verdict.root_causes) > 1 else 0))
    if verdict.alternatives:
        console.print(Text("\nIt could also be", style="bold"))
        for cause in verdict.alternatives:
            console.print(Padding(_one_line(cause), (0, 0, 0, 2)))
    if verdict.unreadable:
        console.print(Text("\nCould not be read (this lowers the confidence)", style="bold"))
        for each in verdict.unreadable:
            console.print(Padding(Text(f"{each.object}: {each.reason} {each.message}", style="dim"), (0, 0, 0, 2)))


def _heading(verdict: Verdict, target: ObjectKey) -> Text:
    mark, style = _MARK[verdict.outcome]
    heading = Text.assemble((f"{mark} {target}", style), ("  ", ""), (verdict.reason, "dim"))
    if verdict.outcome is not Outcome.ROOT_CAUSE_FOUND:
        heading.append(f"\n  {verdict.message}")
    return heading


def _cause(cause: RootCause, now: datetime, number: int) -> RenderableType:
    title = Text(f"{number}. " if number else "", style="bold")
    title.append(cause.summary, style="bold")
    facts = Text(f"{cause.reason} · {cause.category} · confidence {cause.confidence} % · {cause.source}", style="dim")
    parts: list[RenderableType] = [Text(), Padding(Group(title, facts), (0, 0, 0, 2))]
    if cause.chain:
        parts.append(Padding(_chain(cause), (1, 0, 0, 2)))
    if cause.evidence:
        lines = [_evidence(line, now) for line in cause.evidence]
        parts.append(Padding(Group(Text("Evidence", style="bold"), *lines), (1, 0, 0, 2)))
    return Group(*parts)


def _chain(cause: RootCause) -> Tree:
    """Each link hangs below the one it explains."""
    root = branch = Tree(Text("Symptom", style="bold"), guide_style="dim")
    for link in cause.chain:
        last = link is cause.chain[-1]
        object_style = "bold red" if last else "cyan"
        label = Text.assemble((str(link.object), object_style), (f"  {link.reason}\n", "dim"), link.message)
        branch = branch.add(label)
    return root


def _evidence(line: EvidenceLine, now: datetime) -> RenderableType:
    """Where it stands, dimmed, and below it the quotation. A path that the quotation repeats is not said twice."""
    path = line.object.field_path or ""
    where = str(line.object.key) if line.text.startswith(path) else str(line.object)
    when = f", {age(now, line.time)} ago" if line.time else ""
    head = Text(f"{line.id}  {line.source} of {where}{when}", style="dim")
    return Group(head, Padding(Text(line.text), (0, 0, 0, 4)))


def _one_line(cause: RootCause) -> Text:
    return Text.assemble(cause.summary, (f"  ({cause.reason}, {cause.confidence} %)", "dim"))


def age(now: datetime, then: datetime) -> str:
    """`12s`, `4m`, `3h`, `2d`: how kubectl says it."""
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
