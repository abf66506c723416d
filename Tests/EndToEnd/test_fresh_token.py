"""The promise of the product: an application that reads the file always finds a valid token."""

import itertools
import time

import pytest

from laboratory.agent import Reader

pytestmark = pytest.mark.long(95)

SECONDS = 90
TTL = 20


def test_ninety_seconds_of_a_20_s_token_with_a_60_s_maximum(lab):
    run = lab.agent()
    run.wait_for_token(10)
    reader = Reader(run, lab.bao.remaining)
    started = time.monotonic()
    reader.start()
    time.sleep(SECONDS)
    polls = reader.end()
    lasted = time.monotonic() - started
    # The reader asks OpenBao itself; what passed the front door was the agent's.
    asked = [each for each in lab.front_door.exchanges if each.at >= run.started]
    run.stop()

    # Ten a second are meant; on a busy machine there are fewer, but no lease goes by unseen.
    assert max(later.at - earlier.at for earlier, later in itertools.pairwise(polls)) < TTL / 2
    invalid = [poll for poll in polls if not poll.valid]
    assert not invalid, f"{len(invalid)} of {len(polls)} polls found no valid token, the first {invalid[0]}"
    # OpenBao tells whole seconds.
    assert min(poll.remaining for poll in polls) >= TTL / 5 - 1

    logins = [each for each in asked if each.path.endswith("/login")]
    renewals = [each for each in asked if each.path.endswith("/renew-self")]
    lookups = [each for each in asked if each.path.endswith("/lookup-self")]
    others = [each for each in asked if each not in logins + renewals + lookups]
    assert len({poll.token for poll in polls}) == len(logins)
    assert len(logins) >= 2, "no new login within 90 s, though the maximum is 60 s"
    assert len(logins) <= 1 + lasted / (TTL * 2), f"{len(logins)} logins: the maximum is not used"
    leases = lasted / TTL
    assert len(renewals) <= 2 * leases + len(logins)
    assert not others, {each.path for each in others}
    # One look a tenth of the lease, but no more often than every 5 s.
    assert len(lookups) <= lasted / 5 + len(logins) + 1
    assert all(each.status == 200 for each in asked)
