"""The tests of stacks, dropout, gradients in time, BPTT and the language model find planted bugs.

The manner is that of test_planted_bugs.py, whose machinery this file borrows.
"""

import pytest

from tests.test_planted_bugs import CAUGHT, call, planted  # noqa: F401  (planted is a fixture)

# module: {test: [(text, what it is replaced by), …]}
DEEP = {
    "layers": {
        "test_stacks_and_directions_equal_torch": [
            ("reverse_sequences(out_b, lengths)], axis=-1)", "out_b], axis=-1)"),
            ("dx_f + reverse_sequences(dx_b, lengths)", "dx_f"),
            ("Bidirectional(grads_f, grads_b)", "Bidirectional(grads_b, grads_f)"),
            ("return dx, (dstate_f, dstate_b)", "return dx, (dstate_b, dstate_f)"),
            ("return dx, tuple(reversed(dstates))", "return dx, tuple(dstates)"),
            ("return out, (last_f, last_b)", "return out, (last_f, out_b[0])"),
        ],
        "test_sequences_of_different_lengths_equal_packed_ones": [
            ("reverse_sequences(dout[..., H:], lengths)", "reverse_sequences(dout[..., H:])"),
            ("turned = reverse_sequences(x, lengths)", "turned = reverse_sequences(x)"),
        ],
        "test_two_directions_are_two_layers": [
            ("params.backward, turned", "params.forward, turned"),
        ],
        "test_to_reverse_twice_changes_nothing": [
            ("lengths - 1 - t, t)", "lengths - 1 - t, 0)"),
            ("return x[::-1].copy()", "return x[::-1]"),
        ],
        "test_what_is_none_counts_as_zero": [
            ("return np.zeros((T, B, H)", "return np.ones((T, B, H)"),
        ],
        "test_arguments_that_do_not_fit": [
            ('parts_of("states", states, "one state a layer", len(params))',
             'parts_of("states", states, "one state a layer", 1)'),
        ],
    },
    "dropout": {
        "test_the_mean_is_kept_and_the_variance_is_known": [
            ("1.0 / (1.0 - p)).astype", "1.0).astype"),
            ("rng.random(shape) < p", "rng.random(shape) > p"),
        ],
        "test_one_mask_for_all_steps_or_one_for_each": [
            ("else x.shape[1:]", "else x.shape"),
            ("mask = dropout_mask(shape, p, rng=rng, dtype=x.dtype)",
             "mask = dropout_mask(shape[-1:], p, rng=rng, dtype=x.dtype) * np.ones(shape)"),
            ("return x * mask, mask", "return x, mask"),
        ],
        "test_backward_is_the_measured_gradient": [
            ("return dout * mask", "return dout * (mask > 0)"),
        ],
        "test_masked_layers_equal_a_loop_in_torch": [
            ("        dstate = _masked(dstate, h_mask, c_mask, t)\n", ""),
            ("mask[t] if", "mask[0] if"),
            ("zip(state, (h_mask, c_mask))", "zip(state, (c_mask, h_mask))"),
            ("grads = tree_map(np.add, grads, grads_t)", "grads = grads_t"),
        ],
        "test_the_initial_state_is_masked_and_the_last_is_not": [
            ("        state = _masked(state, h_mask, c_mask, t)\n",
             "        state = _masked(state, h_mask, c_mask, t) if t else state\n"),
            ("return np.concatenate(out), state,",
             "return np.concatenate(out), _masked(state, h_mask, c_mask, T - 1),"),
        ],
    },
    "gradients": {
        "test_state_jacobian_equals_autograd": [
            (".reshape(B, H, H)", ".reshape(B, H, H).swapaxes(1, 2)"),
            ("parts[row] = units", "parts[column] = units"),
        ],
        "test_norms_by_lag_are_those_of_the_windows": [("ord=2", 'ord="fro"')],
        "test_gradient_norms_are_those_of_backward_through_windows": [
            ("cache.steps(t - 1, t)", "cache.steps(len(cache.x) - t, len(cache.x) - t + 1)"),
        ],
        "test_the_norm_is_cut_and_the_direction_kept": [
            ("np.float64(max_norm / norm)", "np.float64(max_norm / (norm + 1e-6))"),
            ("np.sum((array / largest) ** 2)", "np.max((array / largest) ** 2)"),
        ],
        "test_gradients_that_explode_can_still_be_clipped": [
            ("largest * np.sqrt(sum(np.sum((array / largest) ** 2)",
             "np.sqrt(sum(np.sum(array**2)"),
            ("np.float64(max_norm / norm)", "np.float32(max_norm / norm)"),
        ],
        "test_below_the_limit_nothing_changes_and_zero_stays_zero": [
            ("    if norm <= max_norm:", "    if norm == 0:"),
        ],
        "test_clipping_by_value_equals_torch": [("np.clip(grad, -limit", "np.clip(grad, 0")],
        "test_a_gradient_that_is_no_number_is_not_rescaled": [("    _finite_norm(grads)\n", "")],
    },
    "bptt": {
        "test_windows_equal_torch_with_detach_between_them": [
            ("x, loss, k, state)\n        total", "x, loss, k, None)\n        total"),
            ("total += value", "total = value"),
            ("tree_map(np.add, grads, window_grads)", "window_grads"),
        ],
        "test_the_state_that_is_carried_is_that_of_the_whole": [("loss(k, out)", "loss(0, out)")],
        "test_dtype_is_kept_and_the_state_is_nobodys_view": [
            ("tree_map(np.array, state)", "state"),
        ],
        "test_windows_predict_each_symbol_once": [
            ("stream[:-1], stream[1:]", "stream[:-1], stream[:-1]"),
            ("range(0, len(x), length)", "range(0, len(x) - length + 1, length)"),
            ("y[i : i + length].copy()", "y[i : i + length]"),
        ],
        "test_a_stream_is_contiguous_in_each_column": [
            ("(batch, T)).T.copy()", "(T, batch)).copy()"),
        ],
    },
    "language_model": {
        "test_loss_and_gradients_equal_torch": [
            ("params.layer, embedded, state)", "params.layer, embedded)"),
            ("return loss, grads, state_n", "return loss, grads, cache.layer.h[0]"),
        ],
        "test_forward_and_backward_equal_torch_with_a_gradient_on_everything": [
            ("dout.reshape(T, B, -1), dstate_n)", "dout.reshape(T, B, -1))"),
        ],
        "test_what_is_masked_has_no_influence": [
            ("cross_entropy(logits, y, mask)", "cross_entropy(logits, y % 7)"),
        ],
        "test_the_embedding_is_normal_and_the_rest_uniform": [
            ("rng.normal(", "rng.uniform(-1, 1, "),
        ],
        "test_greedy_is_the_most_likely_symbol_each_time": [
            ("1 if temperature == 0 else top_k", "top_k"),
            ("logits, state, _ = language_model_forward", "logits, _, _ = language_model_forward"),
            ("x = ids[t : t + 1, None]", "x = start[:, None]"),
            ("logits[-1, 0]", "logits[0, 0]"),
        ],
        "test_the_first_symbol_follows_the_softmax": [
            ("/ (temperature or 1.0)", "* (temperature or 1.0)"),
            ("np.argsort(-logits", "np.argsort(logits"),
            ("else top_k]", "else None]"),
        ],
    },
}  # fmt: skip
BUGS = [(module, test, *edit) for module, tests in DEEP.items()
        for test, edits in tests.items() for edit in edits]  # fmt: skip


@pytest.mark.parametrize("module", DEEP)
def test_without_an_edit_all_of_them_pass(planted, module):  # noqa: F811
    with planted(module) as tested:
        for test in DEEP[module]:
            call(getattr(tested, test))


@pytest.mark.parametrize(
    "module, test, old, new", BUGS, ids=[f"{m}-{k}" for k, (m, *_) in enumerate(BUGS)]
)
def test_the_bug_is_caught(planted, module, test, old, new):  # noqa: F811
    with planted(module, old, new) as tested, pytest.raises(CAUGHT):
        call(getattr(tested, test))
