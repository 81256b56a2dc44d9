"""A home that was copied to a second machine: the copy stops before it writes anything, and says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.integration.daemons import until
from tests.lan.people import Person, Scene


def test_a_home_copied_to_a_second_machine_writes_nothing(scene: Callable[..., Scene]) -> None:
    here = scene(3)
    ann, bob = here.pair()
    ann.stop()
    copy = Person(here.lan, 3, ann.home.parent, "Copy")
    shutil.copytree(ann.home / "profiles", copy.home / "profiles")
    copy.home.chmod(0o700)
    here.people.append(copy)
    ann.start()
    ann.send(bob, "from the newer one", wait="delivered")
    before = bob.texts(ann)
    copy.start()
    until(lambda: warnings(copy) == ["old_copy"], "the copy has found out")
    refused = copy.lan.run(3, copy.command("send", bob.account, "--json", "from the older one"))
    assert refused.returncode == 8 and "another copy has written since" in refused.stderr and "init --as-new" in refused.stderr
    assert "--as-new" in copy.ask("status")["warnings"][0]["hint"]
    copy.stop()
    ann.until_online(bob)
    ann.send(bob, "I go on", wait="delivered")
    assert [each["text"] for each in bob.texts(ann)] == [*(each["text"] for each in before), "I go on"]
    assert warnings(ann) == warnings(bob) == []


def warnings(person: Person) -> list[str]:
    return [each["code"] for each in person.ask("status")["warnings"]]
