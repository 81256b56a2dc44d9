from p2pmsg.model.addresses import Address


def test_an_address_as_people_write_it() -> None:
    assert str(Address("10.0.0.1", 40_000)) == "10.0.0.1:40000"
    assert str(Address("fe80::1", 40_000, 2)) == "[fe80::1]:40000"
