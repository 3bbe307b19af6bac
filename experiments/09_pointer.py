"""Who was seen by whom? A pointer against a softmax, on names never seen. Chapter 9.

"Anna Vik saw Bo yesterday" becomes "yesterday Bo was seen by Anna Vik". A hundred names are words
of the vocabulary; all others are unknown words, in training and in the test.
"""

import numpy as np
import torch

from unrolled.data import UNKNOWN, Vocabulary, load_names, pad
from unrolled.results import save_result
from unrolled.torch_models import count
from unrolled.torch_pointer import PointerGenerator, extended_ids, pointer_loss

SETTINGS = {
    "sizes": {"E": 32, "H": 64},
    "training": {"steps": 300, "batch": 64, "lr": 0.01, "every": 20},
    "known": 100,  # names that are words of the vocabulary; half of all names drawn are these
    "test": 200,  # sentences of each kind
    "examples": 8,
}
SEEDS = range(3)
VERBS = {
    "saw": "seen", "chose": "chosen", "drew": "drawn", "took": "taken", "forgot": "forgotten",
    "beat": "beaten", "knew": "known", "woke": "woken", "met": "met", "paid": "paid",
    "heard": "heard", "called": "called", "helped": "helped", "thanked": "thanked",
}  # fmt: skip
WHEN = ["", "today", "yesterday", "again", "twice"]
START, END = "<s>", "</s>"


def sentence(names: list[str], rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw a sentence and its passive; a person has one name or two."""
    who, whom = rng.choice(names, size=(2, 2), replace=False).tolist()
    who, whom = who[: rng.integers(1, 3)], whom[: rng.integers(1, 3)]
    verb, when = str(rng.choice(list(VERBS))), str(rng.choice(WHEN)).split()
    return [*who, verb, *whom, *when], [*when, *whom, "was", VERBS[verb], "by", *who]


def batch(pairs: list, vocabulary: Vocabulary) -> tuple:
    """Turn sentences into padded ids, those of unknown words from V on."""
    ids, lengths = pad([extended_ids(x, x, vocabulary)[0] for x, _ in pairs])
    y, ends = pad([extended_ids(x, [START, *y, END], vocabulary)[0] for x, y in pairs])
    return tuple(torch.from_numpy(array) for array in (ids, lengths, y[:-1], y[1:], ends - 1))


def test(net: PointerGenerator, pairs: list, vocabulary: Vocabulary) -> tuple:
    """Write sentences: which share is right as it stands, and right once mended; how they came.

    To mend is to put in place of an unknown word the word that was looked at most.
    """
    ids, lengths, *_ = batch(pairs, vocabulary)
    start, end = vocabulary.encode([START, END])
    written, weights, g = net.write(ids, lengths, start=start, end=end, max_length=12)
    right, mended, examples = 0, 0, []
    for b, (x, y) in enumerate(pairs):
        words = [*vocabulary.symbols, *extended_ids(x, x, vocabulary)[1]]
        found = ["?" if i <= UNKNOWN else words[i - 2] for i in written[b]]
        right += found == y
        looked, T = weights[:, : len(x), b], len(found) + 1
        mended += [x[a.argmax()] if w == "?" else w for w, a in zip(found, looked)] == y
        if b < SETTINGS["examples"]:
            numbers = {
                "weights": looked[:T].astype(float).round(3).tolist(),
                "g": g[:T, b].astype(float).round(3).tolist(),
            }
            examples.append({"source": x, "written": [*found, END][: len(g)], **numbers})
    return right / len(pairs), mended / len(pairs), examples


def run(model: str, seed: int) -> dict:
    """Train one model; test it on names of the vocabulary and on names never seen."""
    rng, fixed, s = np.random.default_rng(seed), np.random.default_rng(99), SETTINGS["training"]
    torch.manual_seed(seed)
    names, unseen = ([n for n in part if " " not in n] for part in load_names()[:2])
    known = names[: SETTINGS["known"]]
    words = {START, END, "was", "by", *VERBS, *VERBS.values(), *WHEN[1:], *known}
    vocabulary = Vocabulary([words])
    V = len(vocabulary)
    net = PointerGenerator(V, **SETTINGS["sizes"], pointer=model == "pointer")
    optimizer = torch.optim.Adam(net.parameters(), lr=s["lr"])
    tests = [[sentence(part, fixed) for _ in range(SETTINGS["test"])] for part in (known, unseen)]
    curve = []
    for step in range(1, s["steps"] + 1):
        some = [*known, *rng.choice(names, size=len(known), replace=False)]
        pairs = [sentence(some, rng) for _ in range(s["batch"])]
        ids, lengths, target_in, target, ends = batch(pairs, vocabulary)
        if model == "softmax":  # it has no way to write a word that it does not know
            target = torch.where(target < V, target, UNKNOWN)
        loss = pointer_loss(net(ids, lengths, target_in)[0], target, ends)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % s["every"] == 0:
            on_known, _, _ = test(net, tests[0], vocabulary)
            on_unseen, mended, examples = test(net, tests[1], vocabulary)
            scores = {"known": on_known, "unseen": on_unseen, "unseen_mended": mended}
            curve.append({"step": step, "loss": round(loss.item(), 4), **scores})
    sizes = {"parameters": count(net), "words": V}
    return {"model": model, "seed": seed, **sizes, **scores, "curve": curve, "examples": examples}


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = [run(model, seed) for seed in SEEDS for model in ("softmax", "pointer")]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
