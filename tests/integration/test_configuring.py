"""Settings that are changed while the daemon runs."""

from __future__ import annotations

from tests.integration.daemons import Somebody, ended, town, until


def warnings(somebody: Somebody) -> list[str]:
    return [warning["code"] for warning in somebody.ask("status")["warnings"]]


def test_a_daemon_takes_up_what_it_can_and_says_what_is_wrong() -> None:
    with town("Ann", "Bob", friends=False) as (ann, bob):
        ann.configure("log.level", "error")
        bob.configure("receipts.read", "off")
        until(lambda: ann.logged("log.level has changed and counts from now on"), "the level is noticed")
        until(lambda: bob.logged("receipts.read has changed and counts from now on"), "the receipts are noticed")
        lines, bobs = ann.logged(" INFO "), bob.logged(" INFO ")
        ann.befriend(bob)
        assert ann.logged(" INFO ") == lines and bob.logged(" INFO ") > bobs
        message = ann.say(bob, "hello")
        assert len(bob.ask("read", target=ann.account)) == 1
        bob.say(ann, "after what was read")  # of what comes before it in Bob's log
        assert ann.state(bob, message) == "delivered"

        file = ann.folder / "config.toml"
        good = file.read_text()
        file.write_text(good + "\nnonsense = 1\n")
        until(lambda: warnings(ann) == ["settings_invalid"], "status warns of the bad file")
        pid = ann.pid
        ann.fails(8, "settings_invalid", "daemon", "restart", "--json")
        assert ann.pid == pid and not ended(pid)
        file.write_text(good)
        until(lambda: warnings(ann) == [], "the warning goes with its cause")


def test_other_interfaces_are_used_at_once() -> None:
    with town("Ann") as (ann,):
        assert ann.ask("status")["interfaces"] == ["lo"]
        ann.configure("discovery.interfaces", "nosuch0")
        until(lambda: ann.ask("status")["interfaces"] == [] and "no_network" in warnings(ann), "loopback is left")
        ann.configure("discovery.interfaces", "lo")
        until(lambda: ann.ask("status")["interfaces"] == ["lo"], "loopback is used again")


def test_settings_through_the_local_api_count_at_once() -> None:
    with town("Ann") as (ann,):
        assert ann.ask("config.set", key="discovery.interfaces", value=["nosuch0"])["value"] == ["nosuch0"]
        until(lambda: ann.ask("status")["interfaces"] == [], "loopback is left")
        assert ann.ask("config.unset", key="discovery.interfaces")["source"] == "default"
        assert ann.ask("config.list") == ann.good("config", "list", "--json")


def test_a_client_ends_the_daemon() -> None:
    with town("Ann") as (ann,):
        pid, logged = ann.pid, ann.ask("daemon.logs", n=2)
        assert len(logged) == 2
        told = ann.ask("daemon.stop")
        until(lambda: ended(pid), "the daemon ends")
        assert told | {"disk_bytes": 0} == ann.good("daemon", "stop", "--json")[0] | {"disk_bytes": 0}
