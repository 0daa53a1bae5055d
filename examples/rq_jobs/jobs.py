# SPDX-License-Identifier: MIT
"""What the worker of RQ does, which imports this module and nothing of the service."""


def count_primes(limit):
    return sum(all(number % other for other in range(2, int(number**0.5) + 1)) for number in range(2, limit))
