"""Retry policies that a site's bridge.toml names."""

from tenacity import Retrying, stop_after_attempt, stop_after_delay, wait_chain, wait_fixed

WAITS = wait_chain(wait_fixed(1), wait_fixed(3), wait_fixed(2), wait_fixed(1))

chain = Retrying(stop=stop_after_attempt(5), wait=WAITS)
patient = Retrying(stop=stop_after_attempt(3), wait=wait_chain(wait_fixed(12), wait_fixed(1)))
two_seconds = Retrying(stop=stop_after_delay(2), wait=wait_fixed(1))
