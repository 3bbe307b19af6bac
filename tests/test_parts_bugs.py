"""The tests of embedding, masked losses, optimisers and generated tasks find planted bugs.

The manner is that of test_planted_bugs.py, whose machinery this file borrows.
"""

import pytest

from tests import test_planted_bugs as bugs
from tests.test_planted_bugs import CAUGHT, call, planted  # noqa: F401  (planted is a fixture)

# module: {test: [(text, what it is replaced by), …]}
PARTS = {
    "embedding": {
        "test_embedding_equals_torch": [
            ("return W[ids],", "return W[ids] / np.sqrt(W.shape[1]),"),
            ("E * ids", "(E - 1) * ids"),
        ],
        "test_an_id_that_comes_many_times_gets_all_its_gradients": [
            ("np.add.at(dW, (first + np.arange(E)).ravel(), dout.ravel())",
             "dW[(first + np.arange(E)).ravel()] += dout.ravel()"),
        ],
        "test_dtype_is_kept_and_inputs_untouched": [
            ("dtype=W.dtype)", "dtype=float)"),
            ("ids.astype(np.int64)[", "ids["),
        ],
        "test_ids_that_cannot_be": [
            ("ids.min() < 0 or ", ""),
        ],
        "test_a_gradient_of_another_dtype": [
            ('    check_same_dtype("dout", dout, "W", W)\n', ""),
        ],
        "test_a_gradient_that_does_not_fit": [
            ('    check_shape("dout", dout, **sizes, E=E)\n', ""),
        ],
    },
    "losses": {
        "test_with_a_mask_equal_to_torch_over_the_selected": [
            ("spread[mask] = gradient", "spread[mask] = gradient * mask.mean()"),
            ("return value, spread", "return value * float(mask.mean()), spread"),
            ("spread = np.zeros_like(first)", "spread = first.copy()"),
        ],
        "test_what_is_masked_has_no_influence": [
            ("    value, gradient = loss(first[mask], np.asarray(target)[mask])",
             "    value, gradient = loss(first, np.where("
             "mask.reshape(mask.shape + (1,) * (np.ndim(target) - mask.ndim)), target, 0))\n"
             "    gradient = gradient[mask]"),
        ],
        "test_masks_that_cannot_be": [
            ("mask.dtype != bool", "mask.dtype == float"),
            ("not mask.any()", "not mask.size"),
        ],
        "test_masks_of_another_depth": [
            ("first.shape[:-1] if loss is cross_entropy else first.shape[: mask.ndim]",
             "first.shape[: mask.ndim]"),
        ],
    },
    "optim": {
        "test_sgd_equals_torch": [
            ("dp + p.dtype.type(weight_decay) * p", "dp + 0.5 * p.dtype.type(weight_decay) * p"),
            ("dp + p.dtype.type(weight_decay) * p", "dp - p.dtype.type(weight_decay) * p"),
        ],
        "test_momentum_equals_torch": [
            ("mu * u + dp, state.velocity", "mu * u + (1 - mu) * dp, state.velocity"),
            ("mu * u + dp, velocity", "u + dp, velocity"),
            ("params, ahead)", "params, velocity)"),
            ("MomentumState(velocity)\n\n\ndef adam_init", "state\n\n\ndef adam_init"),
        ],
        "test_adam_equals_torch": [
            ("1.0 - beta1**k", "1.0 - beta1**state.step or 1.0"),
            ("k = state.step + 1", "k = 1"),
            ("math.sqrt(1.0 - beta2**k)", "(1.0 - beta2**k)"),
            ("* np.sqrt(v) + eps)", "* np.sqrt(v + eps))"),
            ("(root * np.sqrt(v) + eps)", "(root * (np.sqrt(v) + eps))"),
            ("(1.0 - beta2) * dp * dp", "(1.0 - beta2) * dp"),
            ("keep * p - rate", "p - rate"),
            ("1.0 - lr * float(weight_decay)", "1.0 - float(weight_decay)"),
            ("_with_decay(params, grads)\n", "_with_decay(params, grads, weight_decay)\n"),
        ],
        "test_adam_keeps_dtype_and_structure_and_its_arguments": [
            ("    lr, beta1, beta2, eps = float(lr), float(beta1), float(beta2), float(eps)\n", ""),
            ("lambda v, dp: beta2 * v + (1.0 - beta2) * dp * dp",
             "lambda v, dp: np.add(beta2 * v, (1.0 - beta2) * dp * dp, out=v)"),
        ],
        "test_momentum_keeps_dtype_and_structure_and_its_arguments": [
            ("    lr, mu = float(lr), float(mu)\n", ""),
        ],
        "test_gradients_and_states_that_do_not_fit": [
            ('    _check_state("state.v", state.v, params)\n', ""),
            ('        check_same_dtype(name, s, "params", p)\n', ""),
        ],
    },
    "schedules": {
        "test_cosine_equals_torch": [
            ("(step - warmup) / (total - warmup)", "step / total"),
            ("math.pi * s", "2 * math.pi * s"),
            ("lr * (step + 1) / (warmup + 1)", "lr * step / (warmup + 1)"),
            ("final + (lr - final) * 0.5", "final + lr * 0.5"),
            ("min((step - warmup) / (total - warmup), 1.0)", "(step - warmup) / (total - warmup)"),
        ],
        "test_stairs_and_exponential_equal_torch": [
            ("** (step // every)", "** (step / every)"),
            ("rate**step", "rate * step"),
        ],
    },
    "data.generated": {
        "test_adding_sums_what_is_marked": [
            ("rng.integers(T // 2, T, size=B)", "rng.integers(T, size=B)"),
            ("x[first, sequences, 0] + x[second, sequences, 0]", "x[first, sequences, 0] * 2"),
            ("return x, y[:, None]", "return x, y"),
        ],
        "test_adding_has_the_baseline_of_its_docstring": [
            ("rng.uniform(size=(T, B))", "rng.uniform(-1, 1, size=(T, B))"),
        ],
        "test_temporal_order_names_the_two_in_their_order": [
            ("x[first, sequences] = 4 + y // 2", "x[first, sequences] = 4 + y % 2"),
            ("rng.integers(4, size=(T, B))", "rng.integers(5, size=(T, B))"),
        ],
        "test_temporal_order_is_as_in_the_paper_at_a_hundred_steps": [
            ("6 * T // 10 + 1", "6 * T // 10"),
            ("y = rng.integers(4, size=B)", "y = rng.integers(3, size=B)"),
        ],
        "test_copy_repeats_what_came_first": [
            ("x[T + M - 1] = K + 1", "x[T + M] = K + 1"),
            ("y[T + M :] = message", "y[T + M :] = message[::-1]"),
        ],
        "test_selective_copying_repeats_what_is_no_blank": [
            ("np.sort(rng.random((T + M - 1, B)).argsort(axis=0)[:M], axis=0)",
             "rng.random((T + M - 1, B)).argsort(axis=0)[:M]"),
            ("rng.random((T + M - 1, B))", "rng.random((T + M, B))"),
        ],
        "test_every_set_of_places_is_equally_likely": [
            ("np.sort(rng.random((T + M - 1, B)).argsort(axis=0)[:M], axis=0)",
             "np.arange(M)[:, None] + rng.integers(T, size=B)"),
        ],
    },
    "data.reber": {
        "test_reber_strings_are_legal_and_the_batch_says_the_same": [
            ('{"S": 2, "X": 4}', '{"S": 2, "X": 3}'),
            ("graph.append({letter: last})", 'graph.append({"T": last, "P": last})'),
            ("np.array(rows[:-1])", "np.array([rows[0], *rows[:-2]])"),
            ("pad([i[1:] for i in ids])", "pad([i[:-1] for i in ids])"),
        ],
        "test_legality_agrees_with_the_expression_on_strings_with_one_error": [
            ("return state is not None and not _EMBEDDED[state]", "return state is not None"),
        ],
        "test_how_often_the_grammar_goes_which_way": [
            ("(p if loops else 0.5)", "p"),
            ("(p if loops else 0.5)", "0.5"),
            ("(p if loops else 0.5)", "(1 - p if loops else 0.5)"),
        ],
    },
}  # fmt: skip
TEST_FILES = {"schedules": "test_optim", "data.generated": "test_generated",
              "data.reber": "test_generated"}  # fmt: skip
BUGS = [(module, test, *edit) for module, tests in PARTS.items()
        for test, edits in tests.items() for edit in edits]  # fmt: skip


@pytest.fixture(autouse=True)
def _files(monkeypatch):
    monkeypatch.setattr(bugs, "TEST_FILES", bugs.TEST_FILES | TEST_FILES)


@pytest.mark.parametrize("module", PARTS)
def test_without_an_edit_all_of_them_pass(planted, module):  # noqa: F811
    with planted(module) as tested:
        for test in PARTS[module]:
            call(getattr(tested, test))


@pytest.mark.parametrize(
    "module, test, old, new", BUGS, ids=[f"{m}-{k}" for k, (m, *_) in enumerate(BUGS)]
)
def test_the_bug_is_caught(planted, module, test, old, new):  # noqa: F811
    with planted(module, old, new) as tested, pytest.raises(CAUGHT):
        call(getattr(tested, test))
