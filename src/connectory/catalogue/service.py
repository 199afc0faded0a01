"""What others may ask of the catalogue on a node: a Connector, a page of a search.

All answers come from one index, which says which Connectors there are, in which version and for
whom. Their bodies are those of that version, kept in memory or read from the database; a version
never changes, so neither can be out of step with the other.
"""

from collections.abc import Callable, Mapping, Sequence

from connectory.catalogue import store
from connectory.catalogue.cache import ResponseCache
from connectory.catalogue.following import Following, encoded
from connectory.catalogue.index import SearchIndex
from connectory.catalogue.model import Query
from connectory.contract.errors import ServiceUnavailable
from connectory.database.engine import Database
from connectory.http.answers import Response, tag_of


class Catalogue:
    """The published Connectors, as a node knows them by following the change feed."""

    def __init__(self, database: Database, following: Following) -> None:
        self._database = database
        self._following = following

    @property
    def cache(self) -> ResponseCache[int]:
        """The bodies that are kept, by the number of the document."""
        return self._following.cache

    def __len__(self) -> int:
        """How many Connectors there are."""
        return len(self._following.index)

    @property
    def scanned(self) -> int:
        """How many documents each search looks through, until the index is made of them."""
        return self._following.index.scanned

    def at_hand(self, path: Mapping[str, str]) -> Response | None:
        """What `with_id` gives of a public Connector that was asked for before (see `Endpoint`)."""
        number = self._following.public.get(path["id"])
        return None if number is None else self.cache.get(number)

    async def with_id(self, id_: str, project: str) -> Response | None:
        """A Connector by its id, if it exists for a Project (given as `region:projectKey`)."""
        return await self._visible(id_, project, lambda index: index.with_id(id_))

    async def with_key(self, key: str, project: str) -> Response | None:
        """A Connector by its key, if it exists for a Project (given as `region:projectKey`)."""
        return await self._visible(f"key={key}", project, lambda index: index.with_key(key))

    def has(self, id_: str, version: int) -> bool:
        """Whether this node knows a version of a Connector, or a later one."""
        index = self._following.index
        number = index.with_id(id_)
        return number is not None and index.version_of(number)[1] >= version

    async def search(self, query: Query, project: str) -> Response:
        """A page of the Connectors that a Project finds: a ConnectorSearchPagedQueryResponse."""
        page = self._following.index.search(query, project)
        bodies = await self._bodies(page.numbers)
        body = b'{"offset":%d,"limit":%d,"total":%d,"count":%d,"results":[%b]}' % (
            query.offset,
            query.limit,
            page.total,
            len(bodies),
            b",".join(bodies),
        )
        return Response(200, body, etag=tag_of(body))

    async def _visible(
        self, name: str, project: str, look_up: Callable[[SearchIndex], int | None]
    ) -> Response | None:
        index, public = self._following.index, self._following.public
        number = public.get(name)
        if number is None:
            # What is hidden takes as long as what is not there: neither is remembered.
            number = look_up(index)
            if number is None or not index.is_visible(number, project):
                return None
            if index.is_public(number):
                if len(public) > len(index) * 2:
                    public.clear()
                public[name] = number
        return self.cache.get(number) or (await self._read((number,)))[number]

    async def _bodies(self, numbers: Sequence[int]) -> list[bytes]:
        """The encoded Connectors of live documents, from memory or from the database."""
        kept = {number: self.cache.get(number) for number in numbers}
        missing = [number for number, response in kept.items() if response is None]
        if missing:
            kept |= await self._read(missing)
        return [response.body for response in kept.values() if response is not None]

    async def _read(self, numbers: Sequence[int]) -> dict[int, Response]:
        """The encoded Connectors of live documents, from the database.

        Raises:
            ServiceUnavailable: they are not there any more.
        """
        index = self._following.index
        self.cache.misses += len(numbers)
        versions = {number: index.version_of(number) for number in numbers}
        contents = await self._database.reading_promptly(store.contents, list(versions.values()))
        if len(contents) < len(versions):
            raise ServiceUnavailable("The catalogue is being replaced; try again")
        read = {number: encoded(key, contents[key]) for number, key in versions.items()}
        if index is self._following.index:
            for number, response in read.items():
                self.cache.put(number, response)
        return read
