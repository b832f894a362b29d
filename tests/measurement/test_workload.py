"""The load as a value: what it says of itself, what it refuses, and that its schedule is the seed's alone."""

from dataclasses import FrozenInstanceError, replace

import msgspec
import pytest

from chatlab.measurement.load.workload import NS, Workload

NAN = float("nan")
OPEN = Workload(clients=4, rate=1000, seconds=2, warm_up_s=1)


def arrivals(load):
    return sorted(at for client in range(load.clients) for at in load.arrivals_of(client))


def test_a_workload_is_frozen():
    with pytest.raises(FrozenInstanceError):
        OPEN.rate = 1


def test_a_workload_comes_back_from_json():
    load = Workload(4, rate=((1, 100), (2, 100, 300)), operations={"send": 3, "ping": 1}, text_bytes={32: 9, 100: 1})
    assert msgspec.json.decode(msgspec.json.encode(load), type=Workload) == load


def test_a_workload_says_what_it_is():
    assert str(Workload(clients=16, messages=10)) == (
        "16 clients in pairs, one message of 32 bytes on its way for each, 10 messages each, seed 0"
    )


def test_an_open_loop_says_so():
    load = replace(OPEN, operations={"send": 3, "say": 1}, rooms=2, arrivals="poisson")
    assert str(load) == (
        "4 clients in pairs, in 2 rooms, 1,000 messages of 32 bytes per second in all, poisson arrivals, send 75% say 25%, "
        "for 2 s after 1 s of warm-up, seed 0"
    )


def test_clients_come_in_pairs_and_an_odd_one_writes_to_itself():
    assert [Workload(clients=5).partner(n) for n in range(5)] == [1, 0, 3, 2, 4]


def test_everybody_is_in_a_room_with_others():
    load = Workload(clients=6, rooms=2, operations="say")
    assert [load.room(n) for n in range(6)] == [0, 0, 0, 1, 1, 1] and load.roommates(4) == {3, 5}


@pytest.mark.parametrize("wrong", [
    dict(clients=0), dict(text_bytes=3), dict(seconds=0), dict(messages=0), dict(clients=1000), dict(in_flight=0),
    dict(rate=0), dict(think_s=-1), dict(rooms=3),
])  # fmt: skip
def test_a_load_that_makes_no_sense_is_refused(wrong):
    (field,) = wrong
    with pytest.raises(ValueError, match=f"{field} is from .* not {wrong[field]}"):
        Workload(**wrong)


@pytest.mark.parametrize("wrong", [
    dict(clients=2.5), dict(clients=True), dict(messages=1.5), dict(messages="4"), dict(text_bytes=20.5), dict(in_flight=1.5),
    dict(rooms=1.5), dict(seed="x"), dict(seed=0.5),
])  # fmt: skip
def test_what_is_counted_is_whole(wrong):
    ((field, value),) = wrong.items()
    with pytest.raises(TypeError, match=f"{field} is a whole number.* not {value!r}"):
        Workload(**wrong)


@pytest.mark.parametrize("wrong", [
    dict(seconds=NAN), dict(operations={"send": NAN}), dict(text_bytes={32: NAN}), dict(rate=((1, 5, NAN),)), dict(rate=(("1", 5),)),
    dict(rate=(1, 5)),
])  # fmt: skip
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match="seconds is|weights are|a step of a rate is"):
        Workload(**wrong)


@pytest.mark.parametrize("mix", [5, ["send"], {"send": "often"}])
def test_a_mixture_is_names_with_weights(mix):
    with pytest.raises(TypeError, match="a mixture is a name, or names or sizes with their weights"):
        Workload(operations=mix)


@pytest.mark.parametrize("wrong", [
    dict(arrivals="sudden"), dict(operations="sing"), dict(operations="say"), dict(rate=10, in_flight=2), dict(rate=()),
    dict(rate=10, think_s=1), dict(rate=((1, 2),), messages=3), dict(rate=((0, 5),)), dict(operations={"send": 0}),
])  # fmt: skip
def test_choices_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(ValueError, match="not|given|made of|room|step"):
        Workload(**wrong)


# ---- what is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [9, 32, 1000])
def test_a_text_has_the_size_that_was_asked_for(size):
    assert {len(step.text) for step in Workload(text_bytes=size).steps(0, 200)} == {size}


def test_sizes_are_mixed_by_their_weights():
    sizes = [len(step.text) for step in Workload(text_bytes={20: 3, 200: 1}).steps(0, 4000)]
    assert set(sizes) == {20, 200} and sizes.count(20) / 4000 == pytest.approx(0.75, abs=0.05)


def test_operations_are_mixed_by_their_weights():
    names = [step.operation for step in Workload(operations={"ping": 1, "balance": 1}).steps(0, 4000)]
    assert set(names) == {"ping", "balance"} and names.count("ping") / 4000 == pytest.approx(0.5, abs=0.05)


def test_the_seed_decides_what_is_said():
    assert Workload(seed=1).steps(1, 9) == Workload(seed=1).steps(1, 9) != Workload(seed=2).steps(1, 9)


def test_no_two_steps_say_the_same():
    assert len({step.text for step in Workload().steps(0, 512)}) == 512


# ---- when -------------------------------------------------------------------------------------------------------


def test_constant_arrivals_of_all_clients_together_are_even():
    at = arrivals(OPEN)
    assert len(at) == 3000 and {round((b - a) / 1000) for a, b in zip(at, at[1:])} == {1000}


def test_the_seed_decides_the_schedule():
    poisson = replace(OPEN, arrivals="poisson")
    assert arrivals(poisson) == arrivals(poisson) != arrivals(replace(poisson, seed=1))


def test_poisson_arrivals_scatter_as_much_as_they_should():
    at = arrivals(replace(OPEN, arrivals="poisson", seconds=19))
    gaps = [b - a for a, b in zip(at, at[1:])]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(NS / 1000, rel=0.05) and deviation == pytest.approx(mean, rel=0.05)


def test_steps_have_their_rates():
    at = arrivals(Workload(clients=3, rate=((1, 100), (2, 400)), warm_up_s=0))
    assert (sum(a < NS for a in at), len(at)) == (100, 900)


def test_a_ramp_rises_evenly():
    at = arrivals(Workload(clients=1, rate=((4, 0, 200),), warm_up_s=0))
    assert [sum(second * NS <= a < (second + 1) * NS for a in at) for second in range(4)] == pytest.approx(
        [25, 75, 125, 175], abs=1
    )


def test_steps_last_their_seconds():
    assert Workload(rate=((1, 100), (2, 400))).seconds == 3


def test_a_schedule_of_a_number_of_messages_ends_with_them():
    assert len(list(Workload(rate=10, messages=7).arrivals_of(1))) == 7


# ---- several workers --------------------------------------------------------------------------------------------


def test_workers_share_clients_and_rate():
    shares = [Workload(clients=11, rate=1100).share(n, 3) for n in range(3)]
    assert [s.clients for s in shares] == [2, 4, 5] and sum(s.rate for s in shares) == pytest.approx(1100)


def test_workers_say_different_things():
    first, second = (Workload(clients=4).share(n, 2) for n in range(2))
    assert first.steps(0, 5) != second.steps(0, 5)


def test_more_workers_than_pairs_are_refused():
    with pytest.raises(ValueError, match="2 workers need 4 clients"):
        Workload(clients=3).share(0, 2)
