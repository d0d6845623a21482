"""The command line `fulfillment`: one file per group of commands, which print and decide nothing.

Data goes to stdout, everything else to stderr. A user's mistake is one sentence, never a traceback.
"""


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    from worker.cli.root import app  # noqa: PLC0415  # the console's script imports this package

    app(prog_name="fulfillment")
