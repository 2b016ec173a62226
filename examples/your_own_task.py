"""Teach a frozen LLM's reasoner a task of your own: the running parity of a row of bits.

    python examples/your_own_task.py [--small]

A task needs three things: prompts, answers as symbols, and a layout that finds the answer positions in a prompt.
Parity is a problem that needs depth: each bit of the answer depends on all bits before it.
"""

import argparse
import random

import hybrid
from hybrid.train import TrainConfig, train


def problem(rng: random.Random, length: int = 12) -> hybrid.Problem:
    bits = [rng.randint(0, 1) for _ in range(length)]
    parity = [str(sum(bits[: i + 1]) % 2) for i in range(length)]
    prompt = "Bits: " + " ".join(map(str, bits)) + "\nFor each bit, is the count of ones so far odd (1) or even (0)?"
    return hybrid.Problem(prompt=prompt, answer=tuple(parity))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default="runs/parity")
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()

    rng = random.Random(0)
    drawn = list({p.prompt: p for p in (problem(rng) for _ in range(200 if options.small else 2000))}.values())
    test, dev, training = drawn[:50], drawn[50:100], drawn[100:]

    # The answer positions are the bits behind "Bits:"; each gathers the hidden states of its own token.
    bits = hybrid.SpanPattern(region=r"(?<=Bits: )[01 ]+", item="[01]")
    config = hybrid.HybridConfig(layout=hybrid.LayoutConfig(answer=bits), symbols=("0", "1"))
    model = hybrid.attach(options.backbone, config)
    schedule = TrainConfig(num_steps=10 if options.small else 2000, eval_every_steps=100, patience=2)
    print(train(model, training, dev, schedule, options.output))

    solutions = model.solve([p.prompt for p in test])
    right = sum(s.symbols == p.answer for s, p in zip(solutions, test, strict=True))
    print(f"{right} of {len(test)} unseen rows right; the first: {solutions[0].text}")


if __name__ == "__main__":
    main()
