"""The search index against the oracle, on generated catalogues and searches."""

import random
import uuid
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from connectory.catalogue import gathering, terms
from connectory.catalogue.index import SearchIndex
from connectory.catalogue.model import Document, Query, Sort, SortField
from connectory.contract.scalars import IntegrationType
from tests.catalogue.oracle import expected

PROJECTS = ["europe-west1.gcp:one", "europe-west1.gcp:two", "us-central1.gcp:one"]
#: Few letters, so that they meet often; blanks of several kinds; letters that fold to others or
#: to two; what SQL and regular expressions hold for special.
LETTERS = "aabbcA \t\n  ßẞSsİiıΣσςéÉ%_'\"\\.*🙂日本\u00a0"

#: Words that share beginnings and ends, parted mostly by single blanks: phrases that meet.
_words = st.text("ab", min_size=1, max_size=5) | st.sampled_from(["abcab", "cabc", "ß", "日本"])
_parted = st.lists(
    st.tuples(_words, st.sampled_from([" ", " ", " ", " ", "  ", "\t", "\u00a0"])), max_size=5
).map(lambda parts: "".join(word + blank for word, blank in parts).removesuffix(" "))
texts = st.text(LETTERS, max_size=14) | _parted
names = texts.filter(bool)
sorts = st.builds(Sort, st.sampled_from(SortField), st.booleans())


@st.composite
def documents(draw: st.DrawFn, number: int = 0) -> Document:
    return Document(
        id=str(uuid.UUID(int=draw(st.integers(0, 30)) + (number << 8), version=4)),
        version=draw(st.integers(1, 3)),
        key=draw(st.none() | st.just(f"k{number}-{draw(st.sampled_from('abcXYZ'))}")),
        name=draw(names),
        description=draw(st.none() | texts),
        company=draw(st.sampled_from([None, "Acme", "acme", "Ümlaut"])),
        integration_types=tuple(draw(st.sets(st.sampled_from(list(IntegrationType)[:3])))),
        private=draw(st.booleans()),
        projects=tuple(draw(st.sets(st.sampled_from(PROJECTS)))),
        created_at=draw(st.integers(0, 3)),
        last_modified_at=draw(st.integers(0, 3)),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> list[Document]:
    """Connectors whose ids, and whose keys where they have any, differ."""
    return [draw(documents(number)) for number in range(draw(st.integers(0, 25)))]


@st.composite
def queries(draw: st.DrawFn, catalogue: Sequence[Document]) -> Query:
    haystacks = [each.name for each in catalogue] + [each.description or "" for each in catalogue]
    text = draw(texts)
    if haystacks and draw(st.booleans()):
        haystack = draw(st.sampled_from(haystacks))
        start = draw(st.integers(0, max(len(haystack) - 1, 0)))
        text = haystack[start : start + draw(st.integers(1, 8))]
        text = draw(st.sampled_from([text, text.upper(), text.casefold()]))
    ids = [each.id for each in catalogue] or ["none"]
    keys = [each.key or "none" for each in catalogue] or ["none"]
    return Query(
        text=text,
        private_only=draw(st.booleans()),
        company=draw(st.sampled_from([None, None, "Acme", "acme", "nobody"])),
        ids=draw(st.just(()) | st.lists(st.sampled_from([*ids, ids[0].upper(), "x"]), max_size=4)),
        keys=draw(st.just(()) | st.lists(st.sampled_from([*keys, ""]), max_size=4)),
        integration_types=draw(
            st.just(()) | st.lists(st.sampled_from(list(IntegrationType)[:4]), max_size=3)
        ),
        sort=draw(st.lists(sorts, max_size=3)),
        offset=draw(st.integers(0, 6)),
        limit=draw(st.integers(0, 8)),
    )


def public(number: int, *, key: str | None = None, name: str, text: str | None = None) -> Document:
    return Document(
        id=str(uuid.UUID(int=number, version=4)),
        version=1,
        key=key,
        name=name,
        description=text,
        company=None,
        integration_types=(),
        private=False,
        projects=(),
        created_at=0,
        last_modified_at=0,
    )


def found(index: SearchIndex, query: Query, project: str) -> tuple[int, list[tuple[str, int]]]:
    page = index.search(query, project)
    return page.total, [index.version_of(number) for number in page.numbers]


def stage(index: SearchIndex, more: Sequence[Document]) -> range:
    """Take documents in, not yet to be found; their numbers."""
    first = index.taken_in
    for _ in index.stage(more):
        pass
    return range(first, index.taken_in)


def absorb(index: SearchIndex, most: int = 100) -> None:
    """Have no document looked through any more, so many at a time."""
    while index.scanned:
        for _ in index.absorb(index.pieces(most)):
            pass


def take_in(index: SearchIndex, more: Sequence[Document], *, scanned: bool) -> None:
    """Add documents to an index that is searched already, `scanned` or taken to pieces."""
    index.publish(index.placed(stage(index, more)))
    if not scanned:
        absorb(index)


@pytest.fixture(scope="module", autouse=True, params=["few are many", "as it is shipped"])
def thresholds(request: pytest.FixtureRequest) -> Iterator[None]:
    """What an index does for terms that many have, in catalogues of a few Connectors, too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "few are many":
            patch.setattr(terms, "_WIDE", 2)
            patch.setattr(gathering, "_SAMPLE", 4)
            patch.setattr(gathering, "_FREQUENT", 1 / 4)
        yield


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.data())
@examples(20)
def test_a_search_finds_what_the_oracle_finds(data: st.DataObject) -> None:
    check_searches(data)


@pytest.mark.long
@pytest.mark.timeout(600)
@given(st.data())
@examples(800)
def test_a_search_finds_what_the_oracle_finds_many_times_over(data: st.DataObject) -> None:
    check_searches(data)


def check_searches(data: st.DataObject) -> None:
    catalogue = data.draw(catalogues())
    index = SearchIndex(catalogue)
    for _ in range(5):
        query = data.draw(queries(catalogue))
        project = data.draw(st.sampled_from(PROJECTS))
        assert found(index, query, project) == expected(catalogue, query, project)


@pytest.mark.long
def test_parts_of_a_large_catalogue_are_found_where_plain_python_finds_them() -> None:
    """More documents than what is frequent is told by, of words as frequent as those of English."""
    rng = random.Random(29)
    short = ["to", "a", "the", "in", "of", "and", "is", "total", "topic", "an", "inner", "offer"]
    syllables = ["pro", "duct", "lay", "out", "cast", "fore", "ship", "ment", "con", "nec", "tor"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(2_000)]
    said = [
        " ".join(rng.choice(short if rng.random() < 0.4 else words) for _ in range(24))
        for _ in range(6_000)
    ]
    catalogue = [public(number, name="x", text=each) for number, each in enumerate(said)]
    index = SearchIndex(catalogue)
    for _ in range(1_500):
        text = rng.choice(said)
        start = rng.randrange(len(text) - 14)
        text = text[start : start + rng.choice((3, 4, 5, 6, 8, 10, 12))]
        page = index.search(Query(text=text, limit=0), PROJECTS[0])
        assert (text, page.total) == (text, sum(text in each for each in said))


@given(st.data())
@examples(20)
def test_an_index_that_grew_finds_what_a_new_one_finds(data: st.DataObject) -> None:
    check_growth(data)


@pytest.mark.long
@pytest.mark.timeout(600)
@given(st.data())
@examples(100)
def test_an_index_that_grew_finds_what_a_new_one_finds_many_times_over(data: st.DataObject) -> None:
    check_growth(data)


def check_growth(data: st.DataObject) -> None:
    catalogue = {each.id: each for each in data.draw(catalogues())}
    index = SearchIndex(catalogue.values())
    for step in range(data.draw(st.integers(1, 6))):
        batch = []
        for number in data.draw(st.sets(st.integers(0, 40), min_size=1, max_size=6)):
            changed = data.draw(documents(number=number))
            if changed.key not in {
                each.key for each in catalogue.values() if each.id != changed.id
            }:
                catalogue[changed.id] = changed
                batch.append(changed)
        take_in(index, batch, scanned=data.draw(st.booleans()))
        query = data.draw(queries(list(catalogue.values())))
        project = data.draw(st.sampled_from(PROJECTS))
        assert found(index, query, project) == expected(list(catalogue.values()), query, project), (
            step
        )


@given(catalogues())
@examples(25)
def test_paging_neither_repeats_nor_skips(catalogue: list[Document]) -> None:
    index = SearchIndex(catalogue)
    whole = found(index, Query(text="a", limit=500), PROJECTS[0])[1]
    pages = [
        each
        for offset in range(0, len(whole) + 2, 2)
        for each in found(index, Query(text="a", limit=2, offset=offset), PROJECTS[0])[1]
    ]
    assert pages == whole


def test_what_is_staged_is_found_only_once_it_is_published() -> None:
    index = SearchIndex()
    document = public(1, key="tax", name="Tax")
    assert found(index, Query(text="tax"), PROJECTS[0]) == (0, [])
    numbers = stage(index, [document])
    absorb(index)
    placed = index.placed(numbers)
    assert found(index, Query(text="tax"), PROJECTS[0]) == (0, [])
    assert index.with_key("tax") is None
    index.publish(placed)
    assert found(index, Query(text="tax"), PROJECTS[0]) == (1, [(document.id, 1)])
    assert index.with_key("tax") == numbers[0]


def test_of_several_versions_at_once_the_last_is_found() -> None:
    first = public(1, name="First")
    index = SearchIndex([first])
    later = [structs.replace(first, version=each, name=f"Tax {each}") for each in (2, 3, 4)]
    take_in(index, later, scanned=True)
    assert found(index, Query(text=""), PROJECTS[0]) == (1, [(first.id, 4)])
    assert found(index, Query(text="tax 3"), PROJECTS[0]) == (0, [])


def test_what_is_being_absorbed_is_found_at_every_step() -> None:
    catalogue = [public(number, name="a b", text=f"tax {number}") for number in range(9)]
    index = SearchIndex(catalogue[:3])
    take_in(index, catalogue[3:], scanned=True)
    while index.scanned:
        for _ in index.absorb(index.pieces(2)):
            for text in ("a b", "tax", "x 7", "7"):
                query = Query(text=text, limit=9)
                assert found(index, query, PROJECTS[0]) == expected(catalogue, query, PROJECTS[0])


def test_documents_may_be_taken_in_while_others_are_taken_to_pieces() -> None:
    catalogue = [public(number, name="a b", text=f"tax {number}") for number in range(9)]
    index = SearchIndex(catalogue[:3])
    take_in(index, catalogue[3:6], scanned=True)
    pieces = index.pieces(100)
    take_in(index, catalogue[6:], scanned=True)
    for _ in index.absorb(pieces):
        pass
    assert index.scanned == 3
    with pytest.raises(ValueError, match="absorbed"):
        next(index.absorb(pieces))
    query = Query(text="tax", limit=9)
    assert found(index, query, PROJECTS[0]) == expected(catalogue, query, PROJECTS[0])


PHRASES = [
    # description, text, whether it is found
    ("payment connector", "payment connector", True),
    ("payment connector", "ment con", True),
    ("payment connector", "t c", True),
    ("payment  connector", "payment connector", False),
    ("payment  connector", "payment  connector", True),
    ("fast payment connector\tfor shops", "payment connector", True),
    ("fast payment connector\tfor shops", "connector\tfor", True),
    ("fast payment connector\tfor shops", "connector for", False),
    ("fast payment connector\tfor shops", "t c", True),
    ("a b\tc", "a b", True),
    ("payment connector", " connector", True),
    ("payment connector", "payment ", True),
    ("payment connector", "connector ", False),
    ("payment connector", " payment", False),
    ("prepayment connectors", "payment connector", True),
    ("prepayment connectors", " payment connector", False),
    ("prepayment connectors", "payment connector ", False),
    ("connector payment", "payment connector", False),
    ("payment of connector", "payment connector", False),
    ("the payment and the connector of payment", "payment connector", False),
    ("one\u00a0two", "one two", False),
    ("one\u00a0two", "one\u00a0two", True),
    ("Größe", "GRÖSSE", True),
    ("GRÖSSE", "größe", True),
    ("100% of_all 'quoted' \\back", "100% of_all '", True),
    ("100% of all", "100_", False),
    ("shop 🙂 now", "🙂", True),
    ("shop 🙂 now", "p 🙂 n", True),
    ("x", "x", True),
    ("x", "y", False),
    ("x y", "   ", False),
    ("x   y", "   ", True),
]


#: How many documents come later, and whether they are then looked through.
GROWN = [(0, False), (3, False), (3, True)]


@pytest.mark.parametrize(
    "text", ["t the", "about the", "ut them", "t th", "bout t", "oute", "abou"]
)
@pytest.mark.parametrize(("grown", "scanned"), GROWN)
def test_what_many_have_is_found_in_those_that_came_later_too(
    text: str, grown: int, *, scanned: bool
) -> None:
    said = ["about the", "about the", "out  the", "about thing", "route them"]
    said += ["at the", "about the", "abouth"]
    catalogue = [public(number, name="x", text=each) for number, each in enumerate(said)]
    index = SearchIndex(catalogue[: len(said) - grown])
    take_in(index, catalogue[len(said) - grown :], scanned=scanned)
    query = Query(text=text)
    assert found(index, query, PROJECTS[0]) == expected(catalogue, query, PROJECTS[0])


@pytest.mark.parametrize(
    "text", ["about to", "bout to", "bout t", "about to ", "t to", "o about to"]
)
@pytest.mark.parametrize(("grown", "scanned"), GROWN)
def test_a_short_last_piece_is_found_where_a_longer_word_begins_with_it(
    text: str, grown: int, *, scanned: bool
) -> None:
    said = ["about to", "about to", "out to  go", "about total", "about top", "go about tomes"]
    said += ["about to go", "about together", "abouto"]
    catalogue = [public(number, name="x", text=each) for number, each in enumerate(said)]
    index = SearchIndex(catalogue[: len(said) - grown])
    take_in(index, catalogue[len(said) - grown :], scanned=scanned)
    query = Query(text=text)
    assert found(index, query, PROJECTS[0]) == expected(catalogue, query, PROJECTS[0])


@pytest.mark.parametrize(("description", "text", "is_found"), PHRASES)
@pytest.mark.parametrize(("grown", "scanned"), [(False, False), (True, False), (True, True)])
def test_a_text_is_found_literally_in_its_case_folding(
    description: str, text: str, *, is_found: bool, grown: bool, scanned: bool
) -> None:
    document = public(1, name="-", text=description)
    index = SearchIndex(() if grown else (document,))
    if grown:
        take_in(index, [document], scanned=scanned)
    assert index.search(Query(text=text), PROJECTS[0]).total == int(is_found)


def test_a_text_that_only_two_texts_together_have_is_not_found() -> None:
    catalogue = [public(number, name=name) for number, name in enumerate(["pay", "mentor", ""])]
    index = SearchIndex()
    take_in(index, catalogue, scanned=True)
    for text, count in {"payment": 0, "ment": 1, "ym": 0, "pay": 1, "rp": 0, "or": 1}.items():
        assert index.search(Query(text=text), PROJECTS[0]).total == count
    assert index.scanned == len(catalogue)
