"""The tests of attention, encoder-decoders and decoding find bugs, each by the test beside it.

As test_planted_bugs.py, whose machinery this uses.
"""

import pytest

from tests import test_planted_bugs as machinery

planted = machinery.planted
machinery.TEST_FILES["encoder"] = "test_seq2seq"

# module: {test: [(text, what it is replaced by), …]}
EDITS = {
    "attention": {
        "test_attention_equals_torch": [
            # The softmax and its way back.
            ("weights /= weights.sum(axis=-1,", "weights /= weights.sum(axis=1,"),
            ("dscores = weights * (g -", "dscores = (g -"),
            (" - (weights * g).sum(axis=-1, keepdims=True))", ")"),
            ("(weights * g).sum(axis=-1,", "(weights * g).sum(axis=1,"),
            ("g += dweights.swapaxes(0, 1)", "pass"),
            ("g += dweights.swapaxes(0, 1)", "g = dweights.swapaxes(0, 1)"),
            ("dvalues = weights.swapaxes(1, 2) @", "dvalues = np.sign(weights.swapaxes(1, 2)) @"),
            # The scores.
            (" met = met / math.sqrt(query.shape[-1])", " met = met / query.shape[-1]"),
            (" met = met / math.sqrt(query.shape[-1])", " met = met / math.sqrt(len(query))"),
            ("        dmet = dmet / math.sqrt(query.shape[-1])", "        pass"),
            ("dkeys = (dscores.swapaxes(1, 2) @ met.", "dkeys = (dscores.swapaxes(1, 2) @ query."),
            ("General(_outer(query, dmet))", "General(_outer(dmet, query).T + 1e-8)"),
            ("(1.0 - met * met)", "(1.0 - met)"),
            ("dscores[..., None] * params.v *", "dscores[..., None] *"),
            ("dv = _outer(dscores[..., None], met)", "dv = _outer(dscores[..., None], met * met)"),
            ("da.sum(axis=1)", "da.mean(axis=1)"),
            ("_times(met, params.v), met", "_times(met, np.abs(params.v)), met"),
        ],
        "test_masked_attention_equals_torch": [
            ("np.copyto(scores, -np.inf,", "np.copyto(scores, 0.0,"),
            ("np.copyto(scores, -np.inf,", "np.copyto(scores, -5.0,"),
            ("where=~mask.swapaxes(0, 1)", "where=mask.swapaxes(0, 1)"),
            ("mask.any(axis=0, keepdims=True)", "mask.all(axis=0, keepdims=True)"),
            ("mask.any(axis=0, keepdims=True)", "mask[:1]"),
        ],
        "test_what_is_hidden_from_every_query_has_no_influence": [
            ("np.where(seen, keys, 0)", "keys"),
            ("np.where(seen, values, 0)", "values"),
        ],
        "test_scaled_equals_torch_sdpa": [
            ('score: str = "scaled"', 'score: str = "dot"'),
        ],
        "test_a_causal_mask_leaks_nothing": [
            ("np.tri(T, dtype=bool)", "np.tri(T, k=1, dtype=bool)"),
            ("np.tri(T, dtype=bool)[:, None]", "np.tri(T, dtype=bool).T[:, None]"),
        ],
        "test_the_two_masks": [
            ("np.tri(T, dtype=bool)", "np.tri(T, dtype=bool).T"),
            (", S, np.size(lengths)), S).T", ", S, np.size(lengths)), S)"),
        ],
        "test_extreme_scores": [("scores -= scores.max(axis=-1, keepdims=True)", "pass")],
        "test_dtype_is_kept_and_inputs_untouched": [
            (" met = met / math.sqrt(", " met = met / np.sqrt("),
            ("        dmet = dmet / math.sqrt(", "        dmet = dmet / np.sqrt("),
            ("weights = np.exp(scores, out=scores)", "weights = np.exp(scores, dtype=np.float64)"),
            ("keys, values = np.where(", "keys[...], values = np.where("),
        ],
        "test_the_weights_cannot_be_written_into": [("weights.flags.writeable = False", "")],
        "test_a_query_that_may_look_nowhere": [("t, b = blind[0]", "t, b = blind[-1]")],
    },
    "seq2seq": {
        "test_loss_and_gradients_equal_torch": [
            # The two ways into the encoder, and the two into the decoder's states.
            ("encoder_backward(cache.encoder, doutputs, dstate)",
             "encoder_backward(cache.encoder, None, dstate)"),
            ("encoder_backward(cache.encoder, doutputs, dstate)",
             "encoder_backward(cache.encoder, doutputs, dstate if doutputs is None else None)"),
            ("dkeys + dvalues", "dkeys"),
            ("dkeys + dvalues", "dvalues"),
            ("dh + dquery", "dh"),
            ("dh + dquery", "dquery"),
            ("dh * (1.0 - h_tilde * h_tilde)", "dh"),
            ("np.concatenate([context, h], axis=-1)", "np.concatenate([h, context], axis=-1)"),
            ("rows = np.tanh(a)", "rows = a"),
            ("score=score, mask=memory.mask", "score=score"),
            ("params.encoder, x, lengths=lengths)", "params.encoder, x)"),
            ("cross_entropy(logits, target_out, mask)", "cross_entropy(logits, target_out)"),
            ("cross_entropy(logits, target_out, mask)", "cross_entropy(logits, target_in, mask)"),
            ("y, memory.state)\n    logits, weights", "y)\n    logits, weights"),
        ],
        "test_any_upstream_gradient_equals_torch": [("dcontext, dweights)", "dcontext)")],
        "test_decoding_the_target_gives_what_teacher_forcing_gave": [
            ("memory._replace(state=state)", "memory"),
            ("log_softmax(logits[0])", "logits[0]"),
        ],
        "test_the_loss_of_a_batch_is_the_mean_over_all_symbols": [
            ("np.ones((B, S), dtype=bool)", "np.tri(B, S, dtype=bool)"),
        ],
        "test_the_memory_is_selectable_by_its_first_axis": [
            ("return Memory(outputs.swapaxes(0, 1), mask", "return Memory(outputs, mask"),
        ],
        "test_initial_parameters": [("draw(H, 1).W[0]", "draw(1, H).W[:, 0]")],
    },
    "encoder": {
        "test_two_directions_equal_torch": [
            ("(cell, params, x, lengths=lengths)\n    return outputs",
             "(cell, params, x)\n    return outputs"),
            ("np.concatenate(both, axis=-1)", "np.concatenate(both[::-1], axis=-1)"),
            ("np.s_[:H, H:]", "np.s_[H:, :H]"),
            ("np.s_[:H, H:]", "np.s_[:H, :H]"),
            ("bidirectional_backward(cache, doutputs, halves)",
             "bidirectional_backward(cache, None, halves)"),
            ("bidirectional_backward(cache, doutputs, halves)",
             "bidirectional_backward(cache, doutputs, None if doutputs is not None else halves)"),
        ],
        "test_padding_has_no_influence": [
            ("layer_forward(cell, params, x, lengths=lengths)\n    outputs",
             "layer_forward(cell, params, x)\n    outputs"),
        ],
        "test_loss_and_gradients_equal_torch": [
            ("return layer_backward(cache, doutputs, dstate)",
             "return layer_backward(cache, None, dstate)"),
        ],
    },
    "decoding": {
        "test_greedy_against_a_plain_loop": [
            ("log_probs.argmax(axis=-1), step", "log_probs.argmin(axis=-1), step"),
            ("np.where(ended, 0.0, log_probs[", "np.where(False, 0.0, log_probs["),
            ("last, picked = np.full(B, bos), []", "last, picked = np.full(B, eos), []"),
            ("lengths += ~ended\n", "lengths += ~(ended | (last == eos))\n"),
        ],
        "test_a_beam_wide_enough_finds_the_best_of_all": [
            ("free, log_probs)", "-np.inf, log_probs)"),
            ("lengths = lengths + ~ended", "lengths = lengths + 1"),
            ("width * np.arange(B)[:, None] + best // V", "best // V"),
            ("(best % V).ravel()\n", "(best // width % V).ravel()\n"),
            ("np.argsort(-scores", "np.argsort(scores"),
            ("        ended |= last == eos\n        if (ended", "        if (ended"),
        ],
        "test_two_steps_need_no_beam_wider_than_the_vocabulary": [
            ("totals = np.where(np.arange(N) % width == 0, 0.0, -np.inf)", "totals = np.zeros(N)"),
        ],
        "test_a_narrow_beam_against_a_plain_search": [
            ("np.argsort(-scores.reshape", "np.argsort(-totals.reshape"),
            ("(5 + lengths) / 6", "lengths"),
            ("state, tokens, lengths, ended = tree_map(", "_, tokens, lengths, ended = tree_map("),
        ],
        "test_width_one_is_greedy": [("np.full(N, bos)", "np.full(N, eos)")],
        "test_what_cannot_be_is_no_hypothesis": [(" if h.log_prob > -np.inf", "")],
        "test_decoding_stops_when_all_have_ended": [
            ("        if (ended | (totals == -np.inf)).all():\n            break\n", ""),
            ("        if ended.all():\n            break\n", ""),
        ],
        "test_samples_come_as_often_as_they_should": [
            ("log_probs + temperature * rng", "log_probs + temperature**2 * rng"),
            ("rng.gumbel(", "rng.normal("),
            ("rng.gumbel(size=log_probs.shape)", "rng.gumbel(size=log_probs.shape[1])"),
        ],
        "test_sampling_at_temperature_zero_is_greedy": [("+ temperature *", "+")],
        "test_what_is_no_logarithm_of_a_probability": [
            ("    if not largest <= 1e-6:", "    if largest > 1e-6:"),
            ("    if not largest <= 1e-6:", "    if largest != largest:"),
        ],
    },
}  # fmt: skip

BUGS = [
    (module, test, old, new)
    for module, tests in EDITS.items()
    for test, edits in tests.items()
    for old, new in edits
]


@pytest.mark.parametrize("module", sorted(EDITS))
def test_without_an_edit_all_of_them_pass(planted, module):
    with planted(module) as tested:
        for test in EDITS[module]:
            machinery.call(getattr(tested, test))


@pytest.mark.parametrize(
    "module, test, old, new", BUGS, ids=[f"{m}-{k}" for k, (m, *_) in enumerate(BUGS)]
)
def test_the_bug_is_caught(planted, module, test, old, new):
    with planted(module, old, new) as tested, pytest.raises(machinery.CAUGHT):
        machinery.call(getattr(tested, test))


def test_there_are_enough_of_them():
    few = {"encoder": 8}  # it is short
    assert all(sum(map(len, EDITS[name].values())) >= few.get(name, 12) for name in EDITS)
