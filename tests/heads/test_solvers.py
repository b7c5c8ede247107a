"""L-BFGS against scikit-learn, Adam against Keras' formula written out, and their data."""

import warnings

import numpy as np
import pytest
from cache_samples import filled, vectors
from sklearn.linear_model import LogisticRegression

import engine.heads.lbfgs
import engine.heads.rows
from cache.failures import Failure
from engine.heads.adam import Recipe, adam_epochs
from engine.heads.l2_path import STRENGTHS, fit_regularised
from engine.heads.lbfgs import optima
from engine.heads.rows import LoadedRows, StoredRows
from engine.heads.softmax import class_weights, log_softmax, losses, shares_of
from engine.heads.standardised import Standardised


def problem(count=300, dimension=40, classes=2, seed=0, noise=1.0):
    """Return features float32 and labels with every class among the first ones."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, dimension)).astype(np.float32)
    true = rng.standard_normal((dimension, classes)) / np.sqrt(dimension) * 3
    logits = features @ true + noise * rng.gumbel(size=(count, classes))
    labels = logits.argmax(axis=1)
    labels[:classes] = np.arange(classes)
    return features, labels


def solve(features, labels, classes, strengths, class_weight=None):
    """Return copies of the solutions: (weights, biases, solution) for each strength."""
    weights = class_weights(labels, classes, balanced=class_weight == "balanced")
    shares = shares_of(labels, weights)
    return [
        (optimum.weights.copy(), optimum.biases.copy(), optimum)
        for optimum in optima(plain(features), labels, shares, classes, strengths)
    ]


def plain(features):
    """Return features as they are in the solver's form: centre 0, scale 1."""
    ones = np.ones(features.shape[1], np.float32)
    return Standardised(features, (0 * ones, ones))


def objective_of(weights, optimum):
    return optimum.loss + optimum.l2 / 2 * np.square(weights).sum()


def oracle(features, labels, classes, l2):
    """Return scikit-learn's probabilities and objective at the same optimum."""
    count = len(labels)
    # With two classes scikit-learn writes w for the difference of our columns: w/2 and -w/2.
    inverse = 1 / (count * l2) * (2 if classes == 2 else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=inverse, tol=1e-9, max_iter=5000)
        model.fit(features.astype(np.float64), labels)
    probabilities = model.predict_proba(features.astype(np.float64))
    penalty = l2 / 2 * np.square(model.coef_).sum() / (2 if classes == 2 else 1)
    loss = -np.log(probabilities[np.arange(count), labels]).mean()
    return probabilities, loss + penalty


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_optimum_is_scikit_learns(classes, seed):
    features, labels = problem(classes=classes, seed=seed)
    strengths = [1.0, 0.1, 0.01, 0.001]
    solutions = solve(features, labels, classes, strengths)
    for l2, (weights, biases, solution) in zip(strengths, solutions, strict=True):
        probabilities, objective = oracle(features, labels, classes, l2)
        assert solution.converged
        assert objective_of(weights, solution) == pytest.approx(objective, abs=1e-6)
        ours = np.exp(log_softmax(features @ weights + biases))
        np.testing.assert_allclose(ours, probabilities, atol=2e-3)


@pytest.fixture(autouse=True)
def fine(monkeypatch):
    """Solve to a tenth of the product's tolerance."""
    monkeypatch.setattr(engine.heads.lbfgs, "_TOLERANCE", 1e-8)


def test_balanced_classes_are_scikit_learns():
    features, labels = problem(classes=3)
    keep = np.flatnonzero((labels != 2) | (np.arange(len(labels)) % 7 == 2))
    features, labels = features[keep], labels[keep]
    ((weights, biases, optimum),) = solve(features, labels, 3, [0.01], "balanced")
    model = LogisticRegression(
        C=1 / (len(labels) * 0.01), tol=1e-9, max_iter=5000, class_weight="balanced"
    )
    model.fit(features.astype(np.float64), labels)
    ours = np.exp(log_softmax(features @ weights + biases))
    np.testing.assert_allclose(ours, model.predict_proba(features), atol=2e-3)
    assert optimum.converged


@pytest.mark.parametrize("seed", range(4))
def test_rounding_does_not_gather_in_one_class(seed):
    """Weights' classes sum to zero, whichever kernel multiplied, so that no search is in vain."""
    features, labels = problem(classes=20, seed=seed)
    for weights, _, solution in solve(features, labels, 20, STRENGTHS[:9]):
        assert solution.converged
        np.testing.assert_allclose(weights.sum(axis=1), 0, atol=1e-6)


def test_the_optimum_is_the_same_with_more_features_than_images():
    features, labels = problem(count=60, dimension=400, classes=3)
    ((weights, _, solution),) = solve(features, labels, 3, [0.01])
    objective = oracle(features, labels, 3, 0.01)[1]
    assert objective_of(weights, solution) == pytest.approx(objective, abs=1e-6)
    assert weights.shape == (400, 3)


def test_the_loss_that_is_told_is_that_of_the_weights():
    features, labels = problem(classes=4)
    for weights, biases, solution in solve(features, labels, 4, [1.0, 0.03]):
        loss = losses(log_softmax(features @ weights + biases), labels).mean()
        assert solution.loss == pytest.approx(loss, abs=1e-6)


def test_separable_classes_are_no_trouble():
    features, labels = problem(count=200, dimension=300, noise=0)
    *_, (weights, biases, solution) = solve(features, labels, 2, STRENGTHS)
    assert solution.converged
    assert ((features @ weights + biases).argmax(axis=1) == labels).all()


def test_the_same_input_gives_the_same_bits():
    features, labels = problem(classes=3)
    one, two = (solve(features, labels, 3, [0.1, 0.01]) for _ in range(2))
    for (weights, biases, _), (again, other, _) in zip(one, two, strict=True):
        np.testing.assert_array_equal(weights, again)
        np.testing.assert_array_equal(biases, other)


def sides(features, labels, train=200):
    return (
        LoadedRows(features[:train], labels[:train]),
        LoadedRows(features[train:], labels[train:]),
    )


def test_the_head_fits_features_as_they_are():
    """Folding the standardisation into the weights changes no probability."""
    features, labels = problem(classes=3)
    rng = np.random.default_rng(9)
    scaled = features * rng.uniform(0.01, 50, 40).astype(np.float32) + np.float32(7)
    train, validation = sides(scaled, labels)
    solution = fit_regularised(train, validation, 3)
    logs = log_softmax(scaled[200:] @ solution.weights + solution.biases)
    chosen = next(point for point in solution.history if point["l2"] == solution.chosen["l2"])
    assert losses(logs, labels[200:]).mean() == pytest.approx(chosen["validation_loss"], abs=1e-4)
    train_logs = log_softmax(scaled[:200] @ solution.weights + solution.biases)
    assert losses(train_logs, labels[:200]).mean() == pytest.approx(chosen["train_loss"], abs=1e-4)


def test_the_strength_with_the_least_validation_loss_is_chosen():
    train, validation = sides(*problem(noise=2.0))
    solution = fit_regularised(train, validation, 2)
    best = min(solution.history, key=lambda point: point["validation_loss"])
    assert solution.chosen["l2"] == best["l2"]
    # It goes on past the best one until it is sure, and not to the end.
    assert solution.history[-1]["l2"] < solution.chosen["l2"]
    assert len(solution.history) < len(STRENGTHS)


def test_the_choice_does_not_hang_on_the_tolerance(monkeypatch):
    train, validation = sides(*problem(noise=2.0))
    monkeypatch.setattr(engine.heads.lbfgs, "_TOLERANCE", 1e-7)
    rough = fit_regularised(train, validation, 2)
    monkeypatch.setattr(engine.heads.lbfgs, "_TOLERANCE", 1e-8)
    fine = fit_regularised(train, validation, 2)
    assert rough.chosen == fine.chosen
    for one, other in zip(rough.history, fine.history, strict=True):
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], abs=2e-3)


def test_constant_and_dead_features_weigh_nothing():
    features, labels = problem()
    features[:, 0], features[:, 1] = 0, 12345.678
    train, validation = sides(features, labels)
    solution = fit_regularised(train, validation, 2)
    np.testing.assert_array_equal(solution.weights[:2], 0)
    assert np.isfinite(solution.weights).all()


def test_features_without_meaning_give_the_prior():
    features, _ = problem()
    labels = np.tile([0, 0, 0, 0, 1], 60)
    train, validation = sides(features, labels)
    solution = fit_regularised(train, validation, 2)
    best = min(point["validation_loss"] for point in solution.history)
    prior = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert best == pytest.approx(prior, abs=0.03)
    assert solution.history[-1]["validation_loss"] > best


def test_features_too_large_for_float32_are_refused():
    features, labels = problem()
    features[3, 3] = 1e30
    with pytest.raises(Failure, match="too large to train on"):
        fit_regularised(*sides(features, labels), 2)


def keras_adam(features, labels, weights, batches):
    """Keras' Adam, as its update_step reads, in float64 and one parameter matrix at a time."""
    parameters = [weights.astype(np.float64), np.zeros(weights.shape[1])]
    m = [np.zeros_like(p) for p in parameters]
    v = [np.zeros_like(p) for p in parameters]
    for step, batch in enumerate(batches, start=1):
        x, onehot = features[batch].astype(np.float64), np.eye(weights.shape[1])[labels[batch]]
        z = x @ parameters[0] + parameters[1]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        delta = (p - onehot) / len(batch)
        alpha = 1e-3 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for number, gradient in enumerate([x.T @ delta, delta.sum(axis=0)]):
            m[number] += (gradient - m[number]) * (1 - 0.9)
            v[number] += (gradient**2 - v[number]) * (1 - 0.999)
            parameters[number] -= m[number] * alpha / (np.sqrt(v[number]) + 1e-7)
    return parameters


def test_adam_takes_keras_steps():
    features, labels = problem(count=70, dimension=10, classes=3)
    rng = np.random.default_rng(4)
    limit = np.sqrt(6 / 13)
    weights = rng.uniform(-limit, limit, (10, 3)).astype(np.float32)
    batches = []
    for _ in range(3):
        order = rng.permutation(70)
        batches += [order[start : start + 32] for start in range(0, 70, 32)]
    expected = keras_adam(features, labels, weights, batches)
    *_, last = adam_epochs(LoadedRows(features, labels), 3, Recipe(3, 32), np.random.default_rng(4))
    np.testing.assert_allclose(last.weights, expected[0], atol=2e-6)
    np.testing.assert_allclose(last.biases, expected[1], atol=2e-6)
    assert last.number == 3


def test_adam_learns_and_repeats_to_the_bit():
    rows = LoadedRows(*problem(count=600, noise=0.2))

    def run():
        epochs = adam_epochs(rows, 2, Recipe(15, 16), np.random.default_rng(0))
        return [(e.loss, e.accuracy, e.weights.copy()) for e in epochs]

    one, two = run(), run()
    assert one[-1][0] < one[0][0] / 2
    assert one[-1][1] > 0.85
    for first, second in zip(one, two, strict=True):
        assert first[:2] == second[:2]
        np.testing.assert_array_equal(first[2], second[2])


def stored(path, block, parts=4, rows=25, dimension=8):
    space = filled(path, parts=parts, rows=rows, dimension=dimension)
    digests, features = vectors(parts * rows, dimension)
    order = np.random.default_rng(0).permutation(len(digests))[: len(digests) - 7]
    digests, features = digests[order], features[order]
    labels = np.arange(len(digests)) % 2
    names = [f"{number}.jpg" for number in range(len(digests))]
    return StoredRows(space.index(), digests, labels, names, block), features


@pytest.mark.parametrize("block", [1, 10, 32, 1000])
@pytest.mark.parametrize("shuffled", [False, True])
def test_stored_rows_come_once_each_with_their_features(tmp_path, block, shuffled, monkeypatch):
    monkeypatch.setattr(engine.heads.rows, "_RUN_BYTES", 5 * 4 * 8)
    rows, features = stored(tmp_path, block)
    rng = np.random.default_rng(1) if shuffled else None
    seen = []
    for positions, values in rows.blocks(rng):
        assert len(positions) <= block
        np.testing.assert_array_equal(values, features[positions])
        seen += positions.tolist()
    assert sorted(seen) == list(range(len(features)))
    again = [p for positions, _ in rows.blocks(rng) for p in positions.tolist()]
    assert (again != seen) == shuffled
    np.testing.assert_array_equal(rows.load().features, features)


def test_adam_reads_from_the_cache_what_it_would_hold_in_memory(tmp_path):
    """A single block in on-disk order: the images differ in order only, so the sums agree."""
    rows, _ = stored(tmp_path, block=32)
    epochs = adam_epochs(rows, 2, Recipe(2, 32), np.random.default_rng(0))
    losses_of = [epoch.loss for epoch in epochs]
    loaded = adam_epochs(rows.load(), 2, Recipe(2, 32), np.random.default_rng(0))
    assert losses_of == pytest.approx([epoch.loss for epoch in loaded], abs=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_name(tmp_path, value):
    from cache_samples import DESCRIPTION

    from cache.store import FeatureCache

    digests, features = vectors(20)
    features[13, 2] = value
    space = FeatureCache.create(tmp_path).add_space(DESCRIPTION, 8)
    space.append(digests, features)
    names = [f"{number}.jpg" for number in range(20)]
    rows = StoredRows(space.index(), digests, np.zeros(20, int), names, 6)
    with pytest.raises(Failure, match=r"features of 13\.jpg are not finite"):
        rows.load()
    with pytest.raises(Failure, match=r"features of 13\.jpg are not finite"):
        list(rows.blocks())
    few = StoredRows(space.index(), digests[[13] * 5], np.zeros(5, int), list("abcde"), 6)
    with pytest.raises(Failure, match="features of a, b, c and 2 more are not finite"):
        few.load()


def test_log_softmax_of_huge_logits():
    logs = log_softmax(np.array([[1e6, 0, -1e6], [3e38, 3e38, 0]], np.float32))
    np.testing.assert_allclose(np.exp(logs), [[1, 0, 0], [0.5, 0.5, 0]])
