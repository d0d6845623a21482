"""Celery's no-op: `python -m celery -A tests.bench.celery_noop worker`.

As it comes, with Redis as its broker: acknowledged early, four messages fetched ahead for each of
its threads or processes, no results kept.
"""

import os

from celery import Celery

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task(name="noop")
def noop() -> None:
    """Do nothing: what is measured is Celery."""
