"""Behaviour of people, monkeys and models: signatures, solution times, accuracy in time."""
