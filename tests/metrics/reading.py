"""Reading an exposition as Prometheus does."""

import urllib.error
import urllib.request
from http.client import HTTPException

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    """Every sample: name and labels, and its value; the same twice is an error."""
    series: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in series, f"twice: {key}"
            series[key] = sample.value
    return series


def exposed(registry: CollectorRegistry) -> Series:
    return parsed(generate_latest(registry).decode())


def value(series: Series, name: str, /, **labels: str) -> float | None:
    """The value of a series; None if it is not there."""
    return series.get((name, frozenset(labels.items())))


def where(series: Series, name: str, /, **labels: str) -> dict[tuple[str, ...], float]:
    """The series of that name and these labels that are not 0, by their other labels' values."""
    return {
        tuple(v for k, v in sorted(found) if k not in labels): value
        for (one, found), value in series.items()
        if one == name and value and found >= labels.items()
    }


def get(port: int, path: str) -> tuple[int, str]:
    """Status and text."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scraped(port: int) -> Series:
    status, text = get(port, "/metrics")
    assert status == 200, text
    return parsed(text)


def is_open(port: int) -> bool:
    try:
        get(port, "/")
    except OSError:
        return False
    except HTTPException:  # it is ended in the middle of its answer: ask again
        return True
    return True
