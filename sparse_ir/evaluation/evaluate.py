"""Run and judgements in, measures out, by ``ir-measures``: trec_eval's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from subprocess import CalledProcessError
from typing import Any

import numpy as np

from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.evaluation.trec import Qrels, Run

MEASURES = ("nDCG@10", "MRR@10", "R@100", "R@1000", "MAP")


@dataclass(frozen=True)
class Evaluation:
    """What a run is worth, by measure.

    Args:
        by_query: measure -> query_id -> value, of every judged query; 0 for one without hits.
    """

    by_query: Mapping[str, Mapping[str, float]]

    @property
    def means(self) -> dict[str, float]:
        """measure -> mean over the judged queries."""
        return {name: float(np.mean(list(of.values()))) for name, of in self.by_query.items()}


def evaluate(run: Run, qrels: Qrels, measures: Sequence[str] = MEASURES) -> Evaluation:
    """The run measured by the judgements.

    Args:
        run: query_id -> doc_id -> score. Queries that nobody judged do not count.
        qrels: query_id -> doc_id -> grade; not empty.
        measures: Names as ``ir-measures`` knows them: ``nDCG@10``, ``MRR@10``, ``P(rel=2)@5``.

    Raises:
        InvalidInputError: an unknown measure, one that is not for these ids, or no judgement.
        MissingDependencyError: ``ir-measures`` is not installed.
    """
    ir_measures = _ir_measures()
    wanted = {name: _parsed(ir_measures, name) for name in measures}
    if not qrels or not wanted:
        raise InvalidInputError("no judgement or no measure came; want at least one of each")
    by_query: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in wanted}
    names: dict[Any, list[str]] = {}  # a measure may come under several: MAP is AP
    for name, measure in wanted.items():
        names.setdefault(measure, []).append(name)
    judged = {query_id: run[query_id] for query_id in qrels if run.get(query_id)}
    try:
        for metric in ir_measures.iter_calc(list(names), qrels, judged):
            for name in names[metric.measure]:
                by_query[name][metric.query_id] = float(metric.value)
    except CalledProcessError as error:  # gdeval, for one, wants numbers for the queries' ids
        raise InvalidInputError(
            f"{error.cmd[0]}, which ir-measures runs for one of {', '.join(wanted)}, "
            f"failed with {error.returncode} on these ids; want another measure"
        ) from None
    return Evaluation(by_query)


def require_measures(measures: Sequence[str]) -> None:
    """Returns if these measures can be computed here, before a long run is made for them.

    Raises:
        InvalidInputError: an unknown measure, or none.
        MissingDependencyError: ``ir-measures`` is not installed.
    """
    ir_measures = _ir_measures()
    if not measures:
        raise InvalidInputError(f"no measure came; want at least one, like {', '.join(MEASURES)}")
    for name in measures:
        _parsed(ir_measures, name)


def cutoff(measure: str) -> int | None:
    """How many first hits the measure looks at; None for all.

    Raises:
        InvalidInputError: an unknown measure.
        MissingDependencyError: ``ir-measures`` is not installed.
    """
    found: int | None = _parsed(_ir_measures(), measure).params.get("cutoff")
    return found


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError:
        raise MissingDependencyError("ir-measures", extra="eval", purpose="measuring") from None
    return ir_measures


def _parsed(ir_measures: Any, name: str) -> Any:
    try:
        measure = ir_measures.parse_measure(name)
        is_known = ir_measures.DefaultPipeline.supports(measure)
    except (NameError, ValueError, SyntaxError, TypeError, AssertionError) as error:
        raise InvalidInputError(
            f"measure is {name!r} ({error}); want a name of ir-measures, like {', '.join(MEASURES)}"
        ) from None
    if not is_known:
        raise InvalidInputError(f"no installed package computes {name!r}; want another measure")
    return measure
