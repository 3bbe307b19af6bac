"""Bugs planted in the RNN, the GRU and the LSTM, each caught by the test named beside it.

How a bug is planted, and why what is caught counts, stands in test_planted_bugs.py. Most of these
tests are shared by the three layers and take a layer, which is the only thing added here.
"""

import inspect
import sys

import pytest

from tests import test_planted_bugs as planting

planted = planting.planted  # the fixture

# module: {test: [(text, what it is replaced by), …]}
LAYERS = {
    "rnn": {
        "test_forward_and_backward_equal_torch": [
            ("(b_ih + b_hh)", "b_ih"),
            ("h[t - 1] @ W_hh.T, out", "h[t - 1] @ W_hh, out"),
            ("h[t - 1] @ W_hh.T, out", "h[0] @ W_hh.T, out"),
            ("return h[1:], h[T],", "return h[:-1], h[T],"),
            ("1 - h[t] * h[t]", "1 - h[t]"),
            ("1 - h[t] * h[t]", "1 - h[t - 1] * h[t - 1]"),
            ("dh = dh + dout[t - 1]", "dh = dout[t - 1]"),
            ("dh_prev = da[t - 1] @ W_hh\n", "dh_prev = da[t - 1] @ W_hh.T\n"),
            ("dh_prev = da[t - 1] @ W_hh\n", "dh_prev = dh @ W_hh\n"),
            ("dh = dh_prev\n", "dh = dh_prev if t % 4 else 0.0 * dh_prev\n"),
            ("W_hh=da.T @ h[:-1]", "W_hh=da.T @ h[1:]"),
            ("db = da.sum(axis=0)", "db = da.mean(axis=0)"),
            ("b_hh=db.copy()", "b_hh=np.zeros_like(db)"),
        ],
        "test_states_left_out_are_zero": [("h0 = np.zeros((B, H)", "h0 = np.ones((B, H)")],
        "test_each_upstream_gradient_alone_equals_torch": [
            ("dh = np.zeros_like(h[0]) if dh_n is None", "dh = h[-1] if dh_n is None"),
        ],
        "test_the_cell_equals_the_cell_of_torch": [
            ("+ h_prev @ W_hh.T + b_hh)", "+ h_prev @ W_hh.T)"),
        ],
        "test_gradients_are_the_measured_ones": [
            ("np.multiply(dh, 1 - h[t]", "np.multiply(dh, 1.00001 - h[t]"),
        ],
        "test_the_fast_pass_equals_a_loop_over_the_cell": [
            ("np.tanh(x_t @ W_ih.T", "np.tanh(0.99999 * x_t @ W_ih.T"),
        ],
        "test_two_windows_give_what_the_whole_gives": [
            ("dh = np.zeros_like(h[0]) if dh_n is None else dh_n\n", "dh = np.zeros_like(h[0])\n"),
        ],
        "test_steps_of_a_cache_are_a_cache": [
            ("self.h[start : stop + 1]", "self.h[start : stop + 1].copy()"),
            ("window(self.lengths, start, stop", "window(self.lengths, 0, stop - start"),
        ],
        "test_no_step_sees_the_future_and_no_gradient_goes_there": [
            ("a_x = (x.reshape", "a_x = ((x - x.mean(axis=0)).reshape"),
            ("return (da @ W_ih)", "return ((da - da.mean(axis=0)) @ W_ih)"),
        ],
        "test_a_batch_is_its_examples_in_any_order": [
            ("a_x = (x.reshape", "a_x = ((x * np.arange(B)[:, None]).reshape"),
        ],
        "test_backward_is_linear": [
            ("dh = dh + dout[t - 1]", "dh = np.clip(dh + dout[t - 1], -1, 1)"),
        ],
        "test_with_lengths_each_sequence_is_as_if_alone": [
            ("np.copyto(dh_prev, dh, where", "np.copyto(dh_prev, 0, where"),
            ("np.copyto(da[t - 1], 0, where=ended[t - 1])", "pass"),
            ("x, lengths, ended = hide_padding(x, lengths)",
             "_, lengths, ended = hide_padding(x, lengths)"),
        ],
        "test_lengths_equal_a_packed_sequence_of_torch": [
            ("np.copyto(h[t], h[t - 1], where=ended[t - 1])", "pass"),
            ("np.copyto(h[t], h[t - 1], where=ended[t - 1])",
             "np.copyto(h[t], 0, where=ended[t - 1])"),
        ],
        "test_dtype_is_kept_and_arguments_are_untouched": [
            ("dtype=a_x.dtype", "dtype=float"),
            ("    h[0] = h0\n", "    h0 += 0.1\n    h[0] = h0\n"),
            ("dh = dh + dout[t - 1]", "dh += dout[t - 1]"),
            ("da = np.empty_like(h[1:])", "da = np.empty(h[1:].shape)"),
        ],
        "test_gradients_are_arrays_of_their_own": [("b_hh=db.copy()", "b_hh=db")],
        "test_results_cannot_be_written_into": [("    h.flags.writeable = False\n", "")],
        "test_states_that_do_not_fit": [('    check_shape("h0", h0, B=B, H=H)\n', "")],
        "test_saturated_units_pass_no_gradient_back": [("1 - h[t] * h[t]", "1.001 - h[t] * h[t]")],
        "test_the_gradient_through_time_is_a_product_of_jacobians": [
            ("np.multiply(dh, 1 - h[t] * h[t],", "np.multiply(dh, 1 - h[t] ** 4,"),
        ],
    },
    "gru": {
        "test_forward_and_backward_equal_torch": [
            ("r, z, n = a = np.empty", "z, r, n = a = np.empty"),
            ("@ W_ih.T + b_ih).reshape", "@ W_ih.T).reshape"),
            ("        a += b\n", ""),
            ("W_hh.reshape(3, H, H).swapaxes(1, 2)", "W_hh.reshape(3, H, H)"),
            ("np.add(n, z * (h[t - 1] - n),", "np.add(h[t - 1], z * (n - h[t - 1]),"),
            ("        n *= r\n", "        n *= z\n"),
            ("        rz += 0.5\n", ""),
            ("r, z, n = gates_t =", "z, r, n = gates_t ="),
            ("kept = dh * z\n", "kept = dh * (1 - z)\n"),
            ("np.multiply(dh - kept, 1 - n * n,", "np.multiply(dh - kept, 1 - n,"),
            ("da_n * m[t - 1]", "da_n * h[t - 1]"),
            ("r - r * r, out", "r, out"),
            ("h[t - 1] - n, out=da_z", "n - h[t - 1], out=da_z"),
            ("h[t - 1] - n, out=da_z", "h[t] - n, out=da_z"),
            ("        da_n *= r\n", ""),
            ("        dh_prev += kept\n", ""),
            ("dh_prev = da_h[t - 1] @ W_hh\n", "dh_prev = da_x[t - 1] @ W_hh\n"),
            ("dh = dh + dout[t - 1]", "dh = dout[t - 1]"),
            ("W_hh=da_h.T @ h[:-1]", "W_hh=da_h.T @ h[1:]"),
            ("W_hh=da_h.T", "W_hh=da_x.T"),
            ("b_ih=da_x.sum", "b_ih=da_h.sum"),
        ],
        "test_states_left_out_are_zero": [("h0 = np.zeros((B, H)", "h0 = np.ones((B, H)")],
        "test_each_upstream_gradient_alone_equals_torch": [
            ("dh = np.zeros_like(h[0]) if dh_n is None", "dh = h[-1] if dh_n is None"),
        ],
        "test_the_cell_equals_the_cell_of_torch": [
            ("(1 - z) * n + z * h_prev", "z * n + (1 - z) * h_prev"),
        ],
        "test_gradients_are_the_measured_ones": [
            ("np.multiply(dh - kept, 1 - n * n,", "np.multiply(dh - kept, 1.00001 - n * n,"),
        ],
        "test_steps_of_a_cache_are_a_cache": [
            ("self.m[start:stop]", "self.m"),
            ("self.gates[start:stop]", "self.gates[: stop - start]"),
        ],
        "test_no_step_sees_the_future_and_no_gradient_goes_there": [
            ("gates = (x.reshape", "gates = ((x - x.mean(axis=0)).reshape"),
        ],
        "test_with_lengths_each_sequence_is_as_if_alone": [
            ("np.copyto(dh_prev, dh, where=ended[t - 1])", "pass"),
            ("np.copyto(da_h[t - 1], 0, where=ended[t - 1])", "pass"),
            ("np.copyto(da_x[t - 1], 0, where=ended[t - 1])", "pass"),
        ],
        "test_lengths_equal_a_packed_sequence_of_torch": [
            ("np.copyto(h[t], h[t - 1], where=ended[t - 1])", "pass"),
        ],
        "test_dtype_is_kept_and_arguments_are_untouched": [
            ("m = np.empty_like(h[1:])", "m = np.empty((T, B, H))"),
            ("np.empty_like(gates), np.empty_like(gates)",
             "np.empty(gates.shape), np.empty_like(gates)"),
            ("dh = dh + dout[t - 1]", "dh += dout[t - 1]"),
        ],
        "test_results_cannot_be_written_into": [
            ("for array in (h, gates, m):", "for array in (gates, m):"),
        ],
        "test_extreme_numbers_stay_finite": [
            ("        rz *= 0.5  # the sigmoid 0.5 * tanh(0.5 * a) + 0.5, in place\n"
             "        np.tanh(rz, out=rz)\n        rz *= 0.5\n        rz += 0.5\n",
             "        rz[:] = 1 / (1 + np.exp(-rz))\n"),
        ],
        "test_the_gates_are_those_of_the_equations": [
            ("np.split(self.gates, 3, axis=2)[0]", "np.split(self.gates, 3, axis=2)[1]"),
        ],
        "test_the_gates_cannot_be_written_into": [
            ("for array in (h, gates, m):", "for array in (h, m):"),
        ],
        "test_a_state_that_is_kept_whole_never_changes": [
            ("np.add(n, z * (h[t - 1] - n),", "np.add(n, 0.9999 * z * (h[t - 1] - n),"),
        ],
        "test_without_recurrent_weights_the_gradient_shrinks_by_the_update_gates_alone": [
            ("dh_prev += kept", "dh_prev += dh"),
        ],
        "test_the_reset_gate_comes_after_the_product": [
            ("np.tanh(x_n + r * m)",
             "np.tanh(x_n + (r * h_prev) @ W_hh[2 * H :].T + b_hh[2 * H :])"),
        ],
        "test_the_second_bias_of_the_candidate_is_inside_the_reset": [
            ("b_hh=da_h.sum(axis=0)", "b_hh=da_x.sum(axis=0)"),
        ],
    },
    "lstm": {
        "test_forward_and_backward_equal_torch": [
            ("(b_ih + b_hh)", "b_ih"),
            ("W_hh.reshape(4, H, H).swapaxes(1, 2)", "W_hh.reshape(4, H, H)"),
            ("i, f, g, o = a =", "f, i, g, o = a ="),
            ("i, f, g, o = a =", "i, f, o, g = a ="),
            ("np.add(f * c[t - 1], i * g,", "np.add(c[t - 1], i * g,"),
            ("np.add(f * c[t - 1], i * g,", "np.add(f * c[t - 1], (1 - f) * g,"),
            ("np.multiply(o, np.tanh(c[t]), out=h[t])", "np.multiply(o, c[t], out=h[t])"),
            ("return h[1:], (h[T], c[T]),", "return h[1:], (c[T], h[T]),"),
            ("dc_t = dc + dh", "dc_t = dh"),
            ("(o - h[t] * tanh_c[t - 1])", "o"),
            ("dc_prev = dc_t * f\n", "dc_prev = dc * f\n"),
            ("ig - ig * i, out", "ig, out"),
            ("f * c[t - 1]\n", "f * c[t]\n"),
            ("i - ig * g, out", "i - ig, out"),
            ("h[t] - h[t] * o, out", "o - h[t] * o, out"),
            ("dh = dh + dout[t - 1]", "dh = dout[t - 1]"),
            ("dh, dc = dh_prev, dc_prev", "dh, dc = dh_prev, dc"),
            ("W_hh=da.T @ h[:-1]", "W_hh=da.T @ h[1:]"),
            ("W_hh=da.T @ h[:-1]", "W_hh=da.T @ c[:-1]"),
            ("b_hh=db.copy()", "b_hh=np.zeros_like(db)"),
            ("(dh, dc), grads", "(dc, dh), grads"),
        ],
        "test_states_left_out_are_zero": [("c0 = np.zeros((B, H)", "c0 = np.ones((B, H)")],
        "test_each_upstream_gradient_alone_equals_torch": [
            ("dc = np.zeros_like(h[0]) if dc_n is None else dc_n\n", "dc = np.zeros_like(h[0])\n"),
            ("dh = np.zeros_like(h[0]) if dh_n is None else dh_n\n", "dh = np.zeros_like(h[0])\n"),
        ],
        "test_the_cell_equals_the_cell_of_torch": [
            ("return o * np.tanh(c_t), c_t", "return np.tanh(o * c_t), c_t"),
            ("np.split(a, 4, axis=1)", "np.split(a, 4, axis=1)[::-1]"),
        ],
        "test_gradients_are_the_measured_ones": [
            ("dc_prev = dc_t * f", "dc_prev = 0.99999 * dc_t * f"),
        ],
        "test_two_windows_give_what_the_whole_gives": [
            ("h[0], c[0] = h0, c0", "h[0], c[0] = h0, 0"),
        ],
        "test_steps_of_a_cache_are_a_cache": [
            ("self.c[start : stop + 1]", "self.c[start:stop]"),
            ("self.gates[:, start:stop]", "self.gates[:, : stop - start]"),
        ],
        "test_no_step_sees_the_future_and_no_gradient_goes_there": [
            ("np.matmul(x.reshape", "np.matmul((x - x.mean(axis=0)).reshape"),
        ],
        "test_with_lengths_each_sequence_is_as_if_alone": [
            ("np.copyto(dh_prev, dh, where=ended[t - 1])", "pass"),
            ("np.copyto(dc_prev, dc, where=ended[t - 1])", "pass"),
            ("np.copyto(da[t - 1], 0, where=ended[t - 1])", "pass"),
        ],
        "test_lengths_equal_a_packed_sequence_of_torch": [
            ("np.copyto(h[t], h[t - 1], where=ended[t - 1])", "pass"),
            ("np.copyto(c[t], c[t - 1], where=ended[t - 1])", "pass"),
        ],
        "test_dtype_is_kept_and_arguments_are_untouched": [
            ("    h[0], c[0] = h0, c0\n", "    c0 += 1.0\n    h[0], c[0] = h0, c0\n"),
            ("h = np.empty((T + 1, B, H), dtype=x.dtype)", "h = np.empty((T + 1, B, H))"),
            ("da = np.empty((T, B, 4 * H), dtype=h.dtype)", "da = np.empty((T, B, 4 * H))"),
            ("dh = dh + dout[t - 1]", "dh += dout[t - 1]"),
        ],
        "test_gradients_are_arrays_of_their_own": [("b_hh=db.copy()", "b_hh=db")],
        "test_results_cannot_be_written_into": [
            ("for array in (h, c, gates):", "for array in (h, gates):"),
        ],
        "test_extreme_numbers_stay_finite": [
            ("np.tanh(a, out=a)", "a[:] = 1 - 2 / (1 + np.exp(2 * a))"),
        ],
        "test_the_gates_are_those_of_the_equations": [
            ("self.gates[0]", "self.gates[1]"),
            ("self.gates[3]", "self.gates[2]"),
        ],
        "test_the_gates_cannot_be_written_into": [
            ("for array in (h, c, gates):", "for array in (h, c):"),
        ],
        "test_a_cell_that_forgets_nothing_and_reads_nothing_never_changes": [
            ("np.add(f * c[t - 1], i * g,", "np.add((1 - i) * f * c[t - 1] + 1e-9, i * g,"),
        ],
        "test_without_recurrent_weights_the_gradient_shrinks_by_the_forget_gates_alone": [
            ("dc_prev = dc_t * f", "dc_prev = dc_t * f * i"),
        ],
        "test_a_closed_output_gate_hides_the_cell_and_changes_it_not": [
            ("dc_t = dc + dh * (o", "dc_t = dc + dh * (1.0"),
        ],
        "test_one_initial_state_may_be_given_without_the_other": [
            ("c0 = np.zeros((B, H), dtype=x.dtype) if c0 is None else c0",
             "c0 = h0 if c0 is None else c0"),
        ],
    },
}  # fmt: skip
# What the three share is tested with one of them.
SHARED = {
    "_lengths": {
        "test_lengths_that_cannot_be": [
            ("(lengths < 1) |", "(lengths < 0) |"),
            ("| (lengths > T)", "| (lengths > T + 1)"),
            ('    check_shape("lengths", lengths, B=B)\n', ""),
            ("np.issubdtype(lengths.dtype, np.integer)", "np.issubdtype(lengths.dtype, np.number)"),
        ],
        "test_lengths_of_any_whole_number_type": [
            ("return lengths.astype(np.int64)", "return lengths.copy()"),
        ],
        "test_lengths_changed_later_change_no_gradient": [
            ("lengths.astype(np.int64)", "lengths.astype(np.int64, copy=False)"),
        ],
        "test_lengths_equal_a_packed_sequence_of_torch": [
            ("np.arange(T)[:, None] < lengths", "np.arange(T)[:, None] <= lengths"),
        ],
        "test_full_lengths_change_nothing": [
            ("np.arange(T)[:, None] < lengths", "np.arange(1, T + 1)[:, None] < lengths"),
        ],
        "test_with_lengths_each_sequence_is_as_if_alone": [
            ("np.where(ended, 0, x)", "np.where(ended, 0, 1) * x"),
        ],
        "test_dtype_is_kept_and_arguments_are_untouched": [
            ("np.where(ended, 0, x)", "np.where(ended, np.zeros(1), x)"),
        ],
        "test_steps_of_a_cache_are_a_cache": [
            ("np.clip(lengths - start, 0,", "np.clip(lengths, 0,"),
            ("np.clip(lengths - start, 0,", "np.clip(lengths - start, 1,"),
            ("0, stop - start)", "0, None)"),
        ],
        "test_steps_that_are_not_there": [
            ("0 <= start < stop <= T:", "0 <= start <= stop <= T:"),
            ("0 <= start < stop <= T:", "0 <= start < stop:"),
        ],
    },
    "_recurrent": {
        "test_parameters_that_do_not_fit": [
            ('    check_shape("W_hh", params.W_hh, **{rows: k * H, columns: H})\n', ""),
            ('    check_shape("b_ih", params.b_ih, **{rows: k * H})\n', ""),
            ('    check_shape("b_hh", params.b_hh, **{rows: k * H})\n', ""),
        ],
        "test_parameters_of_another_layer": [("if rest == 0 and", "if False and")],
        "test_weights_that_hold_no_whole_number_of_gates": [
            ('check_shape("W_ih", params.W_ih, **{rows: k * H, "D": D})', "pass"),
        ],
        "test_parameters_of_another_dtype": [("check_same_dtype(field, array, name, x)", "pass")],
        "test_inputs_that_are_no_sequence_of_floats": [("    check_float(name, x)\n", "")],
        "test_output_gradients_that_do_not_fit": [
            ('check_shape("dout", dout, T=T, B=B, H=H)', "pass"),
        ],
        "test_state_gradients_that_do_not_fit": [("check_shape(name, dstate, B=B, H=H)", "pass")],
        "test_gradients_of_another_dtype": [
            ('check_same_dtype("dout", dout, "out", h)', "pass"),
            ('check_same_dtype(name, dstate, "out", h)', "pass"),
        ],
        "test_no_gradient_at_all": [("dout is None and all(", "dout is not None and all(")],
    },
}  # fmt: skip
BUGS = [
    (module, test, old, new)
    for half in (LAYERS, SHARED)
    for module, tests in half.items()
    for test, edits in tests.items()
    for old, new in edits
]


@pytest.fixture
def planted_layer(planted, monkeypatch):
    # Loaded anew, for the settings of hypothesis under which a bug is hunted.
    monkeypatch.delitem(sys.modules, "tests.layer_cases", raising=False)
    for module in SHARED:
        monkeypatch.setitem(planting.TEST_FILES, module, "test_lstm")
    return planted


def call(tested, name):
    test = getattr(tested, name)
    layer = {"layer": tested.LAYER} if "layer" in inspect.signature(test).parameters else {}
    for arguments in planting.calls(test):
        test(**layer, **arguments)


@pytest.mark.parametrize("module", sorted({module for module, *_ in BUGS}))
def test_without_an_edit_all_of_them_pass(planted_layer, module):
    with planted_layer(module) as tested:
        for test in {test for name, test, *_ in BUGS if name == module}:
            call(tested, test)


@pytest.mark.parametrize(
    "module, test, old, new", BUGS, ids=[f"{m}-{k}" for k, (m, *_) in enumerate(BUGS)]
)
def test_the_bug_is_caught(planted_layer, module, test, old, new):
    with planted_layer(module, old, new) as tested, pytest.raises(planting.CAUGHT):
        call(tested, test)


@pytest.mark.parametrize("module", LAYERS)
def test_there_are_enough_of_them(module):
    assert sum(map(len, LAYERS[module].values())) >= 12
