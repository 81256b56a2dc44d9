"""Who I am, as a handshake proves it."""

from __future__ import annotations

from dataclasses import replace

from p2pmsg.crypto import chain, signing
from p2pmsg.model.ids import AccountId, DeviceId
from p2pmsg.protocol.knowledge import Knowledge
from tests.unit.people import Person

ANN = Person("Ann", nicknames=("Anna",))


def test_a_proof_signs_the_digest_of_the_heads_of_the_whole_chain() -> None:
    proof = ANN.identity.prove(lambda heads: b"text of " + heads)
    digest = chain.heads_digest(ANN.identity.heads)
    assert (proof.account, proof.device, proof.heads) == (ANN.account, ANN.key, digest)
    signing.verify(ANN.key, proof.signature, b"text of " + digest)
    assert ANN.identity.heads == (ANN.links[-1].id,)


def test_neither_the_way_to_sign_nor_the_chain_is_shown() -> None:
    shown = repr(ANN.identity)
    assert "sign=" not in shown and "links=" not in shown and ANN.secret.hex() not in shown


def test_nobody_nearby_is_let_in_unless_somebody_says_so() -> None:
    me = replace(ANN.identity, sign=lambda message: b"")

    def may_link(account: AccountId, device: DeviceId) -> bool:
        return True

    knowledge = Knowledge(me, rows=tuple, known=lambda account: None, links_of=lambda account: (), may_link=may_link, hello=bytes)
    assert not knowledge.admit() and knowledge.nick == ""
