"""Whether classifiers that learn from made rows are right about real ones. Xu et al. 2019, Modeling Tabular Data using
Conditional GAN, arXiv:1907.00503, section 5.1."""

from __future__ import annotations

import warnings
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, UsageError, hookimpl
from ganzoo_plugins.datasets.storage import shown
from ganzoo_plugins.datasets.table_columns import Block, numbers
from ganzoo_plugins.metrics import tables

Array = numpy.ndarray[Any, Any]
DEEPEST, ITERATIONS, HIDDEN = 15, 50, 50


class ClassifierF1(Metric):
    """The F1 of classifiers that are trained on made rows and tested on real ones.

    Xu et al. 2019, arXiv:1907.00503, section 5.1, with the four classifiers of their benchmark for `adult`
    (sdv-dev/SDGym): a decision tree of depth 15 and a logistic regression of 50 iterations, both with balanced classes,
    AdaBoost, and a perceptron with one hidden layer of 50 and 50 epochs. `classifier_f1` is the mean of the four.

    The reference should be rows that the run has not seen: --data "table:path=FILE,held_out=N,split=test"; `halves`
    then says what real rows reach. Numbers are scaled to 5, or where they are never negative and reach 1000 by their
    logarithm; categories are a number each. Of two classes the F1 is the rarer one's; of more, the mean over all.

    Differs from the paper: no column's order of categories is known, so that all are a number each.

    Args:
        target: the column that is told from the others; none: the last column of categories.
        positive: the value of which the F1 is, where there are two; none: the rarer one.
    """

    name = "classifier-f1"
    paper = "arXiv:1907.00503"
    extracts = False
    looks = True
    larger_is_better = (
        "classifier_f1",
        "f1_decision_tree",
        "f1_adaboost",
        "f1_logistic_regression",
        "f1_perceptron",
    )

    def __init__(self, target: str | None = None, positive: str | None = None):
        self.target, self.positive = target, positive

    def measure(self, evidence: Evidence) -> list[Measure]:
        columns, made, real = tables.both(evidence, least=2)
        target = self._target(columns)
        positive = self._positive(target)
        inputs = [_inputs([one for one in columns if one is not target], side) for side in (made, real)]
        learnt, wanted = tables.codes(target, made), tables.codes(target, real)
        found = {
            name: _f1(wanted, _predicted(classifier, inputs[0], learnt, inputs[1]), positive)
            for name, classifier in _classifiers(evidence.seed).items()
        }
        protocol: dict[str, Any] = {"target": target.column["name"]}
        if positive is not None:
            protocol["positive"] = target.column["values"][positive]
        mean = Measure("classifier_f1", float(numpy.mean(list(found.values()))), None, protocol)
        return [mean, *(Measure(f"f1_{name}", value, None, protocol) for name, value in found.items())]

    def _target(self, columns: tuple[Block, ...]) -> Block:
        fitting = {column.column["name"]: column for column in columns if column.is_category}
        if not fitting or len(columns) < 2:
            raise UsageError("there is no column of categories that could be told from the others")
        if self.target is not None and self.target not in fitting:
            raise UsageError(
                f"classifier-f1:target={self.target}: there is no such column of categories; "
                f"there are: {', '.join(map(shown, fitting))}"
            )
        return list(fitting.values())[-1] if self.target is None else fitting[self.target]

    def _positive(self, target: Block) -> int | None:
        values, counts = target.column["values"], target.column["counts"]
        if self.positive is not None and self.positive not in values:
            known = ", ".join(f"'{shown(value)}'" for value in values)
            raise UsageError(f"classifier-f1:positive={self.positive}: there is no such value; there are: {known}")
        if self.positive is not None:
            return int(values.index(self.positive))
        return int(numpy.argmin(counts)) if len(values) == 2 else None


def _inputs(columns: list[Block], rows: Array) -> Array:
    """What a classifier sees of rows: [N, inputs]."""
    pieces = []
    for column in columns:
        if column.is_category:
            pieces.append(tables.one_hot(column, rows))
            continue
        found, low, high = numbers(column, rows), column.column["low"], column.column["high"]
        missing = numpy.isnan(found)
        if low >= 0 and high >= 1000:
            scaled = numpy.log(numpy.maximum(found, 0.01))
        else:
            scaled = (found - low) / (high - low) * 5
        pieces.append(numpy.where(missing, 0, scaled)[:, None])
        if column.column["missing"] is not None:
            pieces.append(missing[:, None].astype(float))
    return numpy.concatenate(pieces, axis=1)


def _classifiers(seed: int) -> dict[str, Any]:
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.tree import DecisionTreeClassifier

    state = seed % 2**32
    return {
        "decision_tree": DecisionTreeClassifier(max_depth=DEEPEST, class_weight="balanced", random_state=state),
        "adaboost": AdaBoostClassifier(random_state=state),
        "logistic_regression": LogisticRegression(class_weight="balanced", max_iter=ITERATIONS, random_state=state),
        "perceptron": MLPClassifier((HIDDEN,), max_iter=ITERATIONS, random_state=state),
    }


def _predicted(classifier: Any, inputs: Array, classes: Array, asked: Array) -> Array:
    if len(numpy.unique(classes)) == 1:  # nothing to learn, which some classifiers refuse
        return numpy.full(len(asked), classes[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations are part of the protocol
        predicted: Array = classifier.fit(inputs, classes).predict(asked)
    return predicted


def _f1(wanted: Array, predicted: Array, positive: int | None) -> float:
    """Twice the hits over all that are predicted or wanted; the mean over the classes that are there."""
    classes = numpy.unique(wanted) if positive is None else numpy.array([positive])
    found = [
        2
        * float(((wanted == one) & (predicted == one)).sum())
        / max(1, int((wanted == one).sum() + (predicted == one).sum()))
        for one in classes
    ]
    return float(numpy.mean(found))


@hookimpl
def register_metrics(register: Any) -> None:
    register(ClassifierF1)
