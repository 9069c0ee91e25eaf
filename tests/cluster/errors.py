"""The one error of the test cluster: a line that tells a person what is missing and where to look.

Everything that can go wrong on somebody else's machine (no root, no package, a component that does not
start) is raised as ClusterError, and the command line prints its text alone. A traceback means a bug here.
"""


class ClusterError(Exception):
    """What is wrong and what would put it right, in one line."""
