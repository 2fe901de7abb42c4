"""Pages of a list of tags, long and short."""

import json
import random
import time
from statistics import median

from benchmarks.load import Sample
from benchmarks.wire import UnexpectedAnswer
from benchmarks.works.small import push_one_image, put_tags
from benchmarks.works.work import Measure, Work

PAGE_TAGS = 100
FILL_BATCH_TAGS = 5_000
REPOSITORIES = {"many": "bench/many-tags", "few": "bench/few-tags"}


class TagPages(Work):
    name = "tag-page"
    how = (
        "One client asks for pages of 100 tags (`tags/list?n=100&last=...`) at random places of a repository with "
        "100,000 tags (peers: 5,000, as they take long to fill) and of one with 1,000; the median time of a page."
    )
    measures = (
        Measure("page-many", "page of 100 of 100,000 tags", "ms", 2, less_is_better=True, target_value=5.0),
        Measure("page-few", "page of 100 of 1,000 tags", "ms", 2, less_is_better=True),
        Measure("page-flatness", "time with many tags / with 1,000", "×", 2, less_is_better=True, target_value=1.5),
    )

    def prepare(self) -> None:
        many = min(self.server.registry.large_repository_tags, self.scale.many_tags)
        self.counts = {"many": many, "few": self.scale.few_tags}
        self.notes.append(f"the large repository has {many:,} tags")
        for key, count in self.counts.items():
            self._fill(REPOSITORIES[key], count)
            self._times(key)

    def round(self, number: int) -> dict[str, Sample]:
        many, few = median(self._times("many")), median(self._times("few"))
        return {
            "page-many": Sample(many * 1e3),
            "page-few": Sample(few * 1e3),
            "page-flatness": Sample(many / few),
        }

    def _fill(self, repository: str, count: int) -> None:
        manifest = push_one_image(self.server, repository).manifest
        tags = [_tag(index) for index in range(count)]
        for start in range(0, count, FILL_BATCH_TAGS):
            put_tags(self.server, repository, manifest, tags[start : start + FILL_BATCH_TAGS], self.scale.clients)

    def _times(self, key: str) -> list[float]:
        """Return how many seconds each of some pages took."""
        client = self.server.client(REPOSITORIES[key])
        times: list[float] = []
        began = time.monotonic()
        while len(times) < self.scale.pages and time.monotonic() < began + self.scale.pages_seconds:
            last = random.randrange(self.counts[key] - PAGE_TAGS - 1)
            request = client.tags_request(PAGE_TAGS, _tag(last))
            start = time.perf_counter()
            answer = client.connection.exchange(request, expected=200)
            times.append(time.perf_counter() - start)
            self._verify(json.loads(answer.body)["tags"], last)
        client.close()
        return times

    def _verify(self, tags: list[str], last: int) -> None:
        if tags == [_tag(last + 1 + index) for index in range(PAGE_TAGS)]:
            return
        if len(tags) <= PAGE_TAGS or not self.server.registry.is_peer:
            raise UnexpectedAnswer(f"{self.server.registry.name}: wrong page after {_tag(last)}: {tags[:5]}…")
        note = "answers every page with all tags, as it does not know `n`"
        if note not in self.notes:
            self.notes.append(note)


def _tag(index: int) -> str:
    return f"v{index:07d}"
