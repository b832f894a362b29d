"""What every store keeps, whatever keeps it."""

import pickle
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.chat.storage import SAVED_REPLIES, MemoryStore, StoredMessage
from chatlab.chat.storage_sqlite import SqliteStore


def sqlite_store(path=":memory:"):
    return SqliteStore(str(path), pickle.dumps, pickle.loads)


STORES = [MemoryStore, sqlite_store]


@pytest.fixture(params=STORES, ids=lambda store: store.__name__)
def store(request):
    return request.param()


@pytest.fixture
def ada(store):
    return store.create("ada").id


def put(store, id, *texts):
    return [store.put(id, id, "ada", text) for text in texts]


def texts(store, id, after=0):
    return [letter.text for letter in store.mail(id, after)]


# ---- accounts


def test_an_account_is_found_by_name_and_by_id(store, ada):
    assert store.by_name("ada").id == ada
    assert store.by_id(ada).name == "ada"


def test_an_account_that_never_was_is_none(store):
    assert store.by_name("ada") is None
    assert store.by_id(1) is None


def test_an_id_is_never_used_again(store, ada):
    store.delete(ada)
    assert store.create("ada").id != ada
    assert store.by_id(ada) is None


def test_the_next_owner_of_a_name_inherits_nothing(store, ada):
    put(store, ada, "private")
    store.set_balance(ada, 100)
    store.save_reply(ada, "once", "request", "answer")
    store.delete(ada)
    heir = store.create("ada")
    assert heir.password_hash == ""
    assert store.unread(heir.id) == store.balance(heir.id) == store.acknowledged(heir.id) == 0
    assert store.saved_reply(heir.id, "once") is None


@given(st.sets(st.text("abéλ", min_size=1, max_size=3)), st.text("abéλ", max_size=3), st.text("abéλ", max_size=2))
def test_names_come_in_order_after_one_name_and_with_one_prefix(names, after, prefix):
    for make in STORES:
        store = make()
        for name in names:
            store.create(name)
        assert list(store.names(after, prefix)) == sorted(n for n in names if n > after and n.startswith(prefix))


def test_a_deleted_name_is_listed_no_more(store, ada):
    store.create("bob")
    store.delete(ada)
    assert list(store.names()) == ["bob"]


# ---- mail


def test_messages_are_numbered_from_one_in_each_mailbox(store, ada):
    bob = store.create("bob").id
    assert put(store, ada, "x", "y") == [1, 2]
    assert put(store, bob, "z") == [1]


def test_a_number_is_never_used_again(store, ada):
    put(store, ada, "one", "two")
    store.remove(ada, [1, 2])
    assert put(store, ada, "three") == [3]


def test_mail_is_kept_whole(store, ada):
    store.put(ada, 7, "bob", "hi", returned=True)
    assert list(store.mail(ada)) == [StoredMessage(1, 7, "bob", "hi", True)]


def test_mail_comes_oldest_first_from_any_number_on(store, ada):
    put(store, ada, "one", "two", "three")
    assert texts(store, ada) == ["one", "two", "three"]
    assert texts(store, ada, after=2) == ["three"]


def test_what_is_acknowledged_is_dropped(store, ada):
    put(store, ada, "one", "two", "three")
    store.acknowledge(ada, 2)
    assert texts(store, ada) == ["three"]
    assert store.acknowledged(ada) == 2


def test_an_acknowledgement_never_drops_mail_that_is_still_to_come(store, ada):
    put(store, ada, "one")
    store.acknowledge(ada, 1_000)
    put(store, ada, "two")
    assert texts(store, ada) == ["two"]
    assert store.acknowledged(ada) == 1


def test_an_older_acknowledgement_changes_nothing(store, ada):
    put(store, ada, "one", "two")
    store.acknowledge(ada, 2)
    store.acknowledge(ada, 1)
    store.acknowledge(ada, -5)
    assert store.acknowledged(ada) == 2


def test_removing_counts_what_was_there(store, ada):
    put(store, ada, "one", "two", "three")
    assert store.remove(ada, [3, 1, 1, 99, -1]) == 2
    assert texts(store, ada) == ["two"]


def test_a_hundred_thousand_messages_are_dropped_within_half_a_second(store, ada):
    put(store, ada, *["x"] * 100_000)
    started = time.thread_time()
    store.acknowledge(ada, 100_000)
    assert time.thread_time() - started < 0.5
    assert store.unread(ada) == 0


STEPS = st.lists(
    st.tuples(st.just("put"), st.none())
    | st.tuples(st.just("acknowledge"), st.integers(0, 12))
    | st.tuples(st.just("remove"), st.lists(st.integers(0, 12), max_size=3)),
    max_size=30,
)


@given(STEPS)
def test_a_mailbox_behaves_like_a_plain_list_of_numbers(steps):
    for make in STORES:
        store = make()
        id, numbers, last = store.create("ada").id, [], 0
        for step, value in steps:
            if step == "put":
                last += 1
                numbers.append(last)
                put(store, id, "x")
            elif step == "acknowledge":
                numbers = [n for n in numbers if n > value]
                store.acknowledge(id, value)
            else:
                assert store.remove(id, value) == len(set(value) & set(numbers))
                numbers = [n for n in numbers if n not in value]
            assert [letter.number for letter in store.mail(id)] == numbers
            assert store.unread(id) == len(numbers)


# ---- balance, and answers already given


def test_a_balance_starts_at_nothing_and_holds_sixty_three_bits(store, ada):
    assert store.balance(ada) == 0
    store.set_balance(ada, 2**63 - 1)
    assert store.balance(ada) == 2**63 - 1


def test_an_answer_is_remembered_with_its_request(store, ada):
    assert store.saved_reply(ada, "rent") is None
    store.save_reply(ada, "rent", "request", "answer")
    assert store.saved_reply(ada, "rent") == ("request", "answer")


def test_of_too_many_answers_the_oldest_is_forgotten(store, ada):
    for n in range(SAVED_REPLIES + 1):
        store.save_reply(ada, str(n), n, n)
    assert store.saved_reply(ada, "0") is None
    assert store.saved_reply(ada, "1") == (1, 1)


# ---- what only a file can do


def test_all_that_was_committed_is_there_when_the_file_is_opened_again(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada = store.create("ada", "hash").id
    put(store, ada, "one", "two")
    store.acknowledge(ada, 1)
    store.set_balance(ada, 50)
    store.save_reply(ada, "rent", "request", "answer")
    store.close()
    again = sqlite_store(tmp_path / "chat.db")
    assert again.by_name("ada") == (ada, "ada", "hash")
    assert (texts(again, ada), again.acknowledged(ada), again.balance(ada)) == (["two"], 1, 50)
    assert again.saved_reply(ada, "rent") == ("request", "answer")
    again.close()


def test_an_id_and_a_number_are_not_used_again_after_a_restart(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada, bob = store.create("ada").id, store.create("bob").id
    put(store, ada, "one")
    store.remove(ada, [1])
    store.delete(bob)
    store.close()
    again = sqlite_store(tmp_path / "chat.db")
    assert again.create("bob").id > bob
    assert put(again, ada, "two") == [2]
    again.close()


def test_what_a_turn_wrote_is_kept_when_the_turn_ends_and_not_before(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada = store.create("ada").id
    store.commit()
    store.set_balance(ada, 50)
    assert after_a_crash(tmp_path, lambda left: left.balance(ada)) == 0
    store.commit()
    assert after_a_crash(tmp_path, lambda left: left.balance(ada)) == 50
    store.close()


def after_a_crash(folder, ask):
    """What a store says that opens the files as they lie there now."""
    with tempfile.TemporaryDirectory() as left:
        shutil.copytree(folder, left, dirs_exist_ok=True)
        store = sqlite_store(Path(left) / "chat.db")
        try:
            return ask(store)
        finally:
            store.close()


@pytest.mark.parametrize("spoilt", ["another kind of file", "another version"])
def test_a_file_that_is_no_chat_is_refused_and_left_alone(tmp_path, spoilt):
    path = tmp_path / "chat.db"
    path.write_bytes(
        b"no database, but long enough to be taken for one. " * 20 if spoilt == "another kind of file" else b""
    )
    if spoilt == "another version":
        store = sqlite_store(path)
        store._db.execute("pragma user_version = 99")
        store.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not a chatlab store"):
        sqlite_store(path)
    assert path.read_bytes() == before


# ---- a file


def test_a_file_that_another_store_has_open_is_refused_in_words(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    with pytest.raises(ValueError, match="chat.db cannot be opened: another program has it open"):
        SqliteStore(str(tmp_path / "chat.db"), pickle.dumps, pickle.loads, wait_s=0)
    store.close()


def test_a_file_can_be_opened_again_when_it_was_closed(tmp_path):
    first = sqlite_store(tmp_path / "chat.db")
    first.create("ada")
    first.commit()
    first.close()
    second = sqlite_store(tmp_path / "chat.db")
    assert second.by_name("ada").id == 1
    second.close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*nowhere"):
        sqlite_store(tmp_path / "nowhere" / "chat.db")


def test_what_a_failed_turn_wrote_is_not_kept(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    store.create("ada")
    store.commit()
    store.create("bob")
    store.rollback()
    assert (store.by_name("ada").id, store.by_name("bob")) == (1, None)
    store.close()
