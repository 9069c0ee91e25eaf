"""The engine: evidence is gathered by a sans-io planner, and judged by pure rules over a causal graph.

    gathering.Gathering   what to read next, for one target
    facts                 who changed what, taken out of an object before that is dropped
    topology, view        edges and an index over the evidence
    rules                 what the engine knows, as a table
    causes, verdict       what explains what; the judgement
    catalogue             docs/reference/causes.md

Nothing in here reads a clock, a file or a socket; `judge` gives the same bytes for the same evidence.
"""

from kubeagent.diagnosis.catalogue import render_causes
from kubeagent.diagnosis.facts import extract
from kubeagent.diagnosis.gathering import Gathering
from kubeagent.diagnosis.steps import Bounds
from kubeagent.diagnosis.verdict import judge

__all__ = ["Bounds", "Gathering", "extract", "judge", "render_causes"]
