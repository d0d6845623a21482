"""`migrate`, `worker`, `doctor`, `demo`: the service itself."""

import os
from dataclasses import asdict
from importlib import import_module
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from messages.wire import COMMANDS, INBOX
from worker import supervise as supervisor
from worker import tracing
from worker.cli.audit import By, actor
from worker.cli.chosen import seconds
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, print_json, say
from worker.cli.session import check_schema, read_settings, session
from worker.doctor import Check, examine
from worker.errors import FORBIDDEN, explain, sqlstate
from worker.heartbeat import expecting
from worker.plugins import CannotUse
from worker.postage.adapters import adapters
from worker.servers import keep_up, servers
from worker.store import schema
from worker.store.engine import make_engine

app = typer.Typer()


@app.command()
def migrate(
    *,
    roles: Annotated[
        bool,
        typer.Option(
            "--roles", help="Also make the database's roles, and grant each what it needs."
        ),
    ] = False,
) -> None:
    """Bring the database's schema to this version.

    Workers and doors go on meanwhile: a lock is waited for briefly, and asked for again after a
    pause. With --roles as its owner, each time: what is new is granted, what is not needed any more
    taken.
    """
    config = read_settings()
    engine = make_engine(servers(config).database_url, config, pool_size=2)
    try:
        before = schema.current(engine)
        schema.migrate(engine)
        say(f"schema: {before or 'nothing'} -> {schema.current(engine)}")
        if roles:
            _grant(engine)
    except schema.Locked as error:
        raise Failure(f"the schema is at {schema.current(engine) or 'nothing'}: {error}") from None
    finally:
        engine.dispose()


def _grant(engine: Engine) -> None:
    try:
        schema.grant_roles(engine)
    except DBAPIError as error:
        if sqlstate(error) != FORBIDDEN:
            raise
        _, _, why = explain(error)
        advice = "use the database's owner, with CREATEROLE as long as the roles are not there"
        raise Failure(f"the roles were not granted anything: {why}: {advice}") from None
    say("roles: granted what they need")


@app.command()
def worker(
    *,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Default: FULFILLMENT_PROCESSES.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=64, help="In each. Default: FULFILLMENT_THREADS.")
    ] = None,
) -> None:
    """Run worker processes until SIGTERM or Ctrl-C.

    They work on all queues, or those of FULFILLMENT_QUEUES.
    """
    with session() as opened:
        config, refunding = opened.settings, opened.providers
        check_schema(opened.engine)
    if config.mail_problem:
        raise Failure(config.mail_problem, Code.USAGE)
    try:
        refunding.check()
        adapters(config)
        tracing.check(config)
    except CannotUse as error:
        raise Failure(str(error), Code.USAGE) from None
    processes, threads = processes or config.processes, threads or config.threads
    # The worker processes size their pools and hints by their own settings.
    os.environ |= {"FULFILLMENT_PROCESSES": str(processes), "FULFILLMENT_THREADS": str(threads)}
    from worker.metrics.exposition import gathering  # noqa: PLC0415  # not for the other commands

    def keep() -> None:
        keep_up(config)
        keep_gathering()

    with (
        expecting(config.run_dir, processes),
        gathering(config, servers(config)) as keep_gathering,
    ):
        code = supervisor.supervise(
            processes,
            threads,
            # What producers send to Redis is accepted where it is decided.
            [*config.queues, *([INBOX] if COMMANDS in config.queues else ())],
            shutdown_timeout_ms=config.shutdown_timeout_ms,
            every=keep,
        )
    raise typer.Exit(code)


@app.command()
def doctor(
    *,
    after_restore: Annotated[
        bool,
        typer.Option(
            "--after-restore",
            help="After restoring a backup, all queues paused: look up what was done since.",
        ),
    ] = False,
    skip_emails_older_than: Annotated[
        str | None,
        typer.Option(metavar="30m|2h|7d", help="After a restore: their commands' age."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="After a restore: only say what waits.")
    ] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Check each part, and say what to do; exit code 1 if something is wrong."""
    if after_restore:
        from worker.cli.restored import after_restore as restored  # noqa: PLC0415  # seldom needed

        limit = skip_emails_older_than
        skip_s = None if limit is None else seconds(limit, "--skip-emails-older-than")
        restored(skip_older_s=skip_s, dry_run=dry_run, by=actor(by), as_json=as_json)
        return
    if skip_emails_older_than or dry_run:
        raise Failure("only with --after-restore", Code.USAGE)
    is_ok = True
    for check in examine(read_settings()):
        is_ok &= check.is_ok
        if as_json:
            print_json({**asdict(check), "is_ok": check.is_ok})
        else:
            say(_text(check))
    raise typer.Exit(Code.OK if is_ok else Code.FAILURE)


def _text(check: Check) -> str:
    line = f"{'ok' if check.is_ok else 'WRONG':<6}{check.part}: {check.found}"
    return f"{line}\n      -> {check.advice}" if check.advice else line


@app.command()
def demo() -> None:
    """Watch orders being fulfilled, on servers of its own."""
    read_settings()
    raise typer.Exit(import_module("worker.demo.run").main() or Code.OK)
