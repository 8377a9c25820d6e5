import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.text.held_out import held_out, place_of

GROUPS = st.lists(st.integers(1, 400), min_size=1, max_size=30)


def places(sizes: list[int], seed: int = 0) -> np.ndarray:
    return np.repeat([place_of(f"{seed}:{n}".encode()) for n in range(len(sizes))], sizes)


@given(GROUPS, st.integers(0, 10**6), st.sampled_from([0.15, 0.2]))
def test_groups_stay_whole_and_order_changes_nothing(sizes, seed, share):
    found = places(sizes, seed)
    chosen = held_out(found, share, "test")
    for place in np.unique(found):
        assert len(set(chosen[found == place])) == 1
    order = np.random.default_rng(seed).permutation(len(found))
    np.testing.assert_array_equal(held_out(found[order], share, "test"), chosen[order])


@given(st.integers(100, 3000), st.integers(0, 10**6))
def test_many_small_groups_go_by_their_hash_alone(rows, seed):
    found = places([1] * rows, seed)
    plain = found < 0.2
    if abs(plain.mean() - 0.2) < 0.1:
        np.testing.assert_array_equal(held_out(found, 0.2, "test"), plain)


@pytest.mark.parametrize("seed", range(20))
def test_a_few_large_groups_do_not_decide(seed, caplog):
    """Two products with most of the rows, and reviews of no product."""
    found = places([270, 263] + [1] * 267, seed)
    chosen = held_out(found, 0.2, "test")
    assert 0.1 <= chosen.mean() <= 0.3
    plain = (found < 0.2).mean()
    assert ("few large groups" in caplog.text) == (not 0.1 <= plain <= 0.3)


def test_where_no_group_is_small_enough_the_smallest_is_held_out():
    assert held_out(places([300, 200]), 0.2, "test").sum() == 200


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(-1, 4)), min_size=1, max_size=120),
    st.integers(0, 10**6),
    st.sampled_from([0.15, 0.2]),
)
def test_each_class_of_two_groups_stands_on_both_sides(groups, seed, share):
    """Groups of one class each; what chance treats well enough stays where its hash puts it."""
    sizes, of_group = zip(*groups, strict=True)
    found, labels = places(sizes, seed), np.repeat(np.array(of_group, np.int8), sizes)
    chosen = held_out(found, share, "test", labels)
    short = False
    for label in range(5):
        here = labels == label
        if len(set(found[here])) > 1:
            assert chosen[here].any()
            assert not chosen[here].all()
        plain = held_out(found, share, "test")
        half = here.sum() / 2
        short |= plain[here].sum() < max(1, share * half)
        short |= (~plain[here]).sum() < max(1, (1 - share) * half)
    if not short:
        np.testing.assert_array_equal(chosen, plain)
    order = np.random.default_rng(seed).permutation(len(found))
    again = held_out(found[order], share, "test", labels[order])
    np.testing.assert_array_equal(again, chosen[order])
    for place in np.unique(found):
        assert len(set(chosen[found == place])) == 1


def test_a_large_group_is_taken_only_where_nothing_else_has_the_class():
    found = places([600, 300, *[1] * 300])
    labels = np.array([0] * 600 + [1] * 300 + [0] * 300, np.int8)
    labels[:100] = 1
    chosen = held_out(found, 0.2, "test", labels)
    assert chosen[600:900].all()  # the smaller of the two that have it
    assert not chosen[:600].any()
