"""A set of numbers that are handed out densely: one bit each, in pages that exist when needed."""

from collections.abc import Sequence

import numpy as np

_PAGE_BITS = 1 << 16


class NumbersSeen:
    """Which inodes or slices have come by.  Memory: 8 KiB per 65,536 consecutive numbers.

    Numbers have 64 bits without a sign, as they are stored; counters reach half of that.
    """

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, number: int) -> bool:
        """Note a number; True if it had not been seen."""
        page_no, bit = divmod(number, _PAGE_BITS)
        page = self._page(page_no)
        place, mask = bit >> 3, 1 << (bit & 7)
        if page[place] & mask:
            return False
        page[place] |= mask
        return True

    def add_new(self, numbers: Sequence[int]) -> bool:
        """Note numbers of which none has been seen; False, and none is noted, if one has."""
        if len(set(numbers)) < len(numbers):
            return False
        page_nos, bits = np.divmod(np.array(numbers, np.uint64), _PAGE_BITS)
        bits = bits.astype(np.intp)
        masks = np.left_shift(1, bits & 7).astype(np.uint8)
        parts = []
        for page_no in set(page_nos.tolist()):
            is_there = page_nos == page_no
            page = np.frombuffer(self._page(page_no), np.uint8)
            parts.append((page, bits[is_there] >> 3, masks[is_there]))
        if any((page[places] & mask).any() for page, places, mask in parts):
            return False
        for page, places, mask in parts:
            np.bitwise_or.at(page, places, mask)
        return True

    def _page(self, page_no: int) -> bytearray:
        page = self._pages.get(page_no)
        if page is None:
            page = self._pages[page_no] = bytearray(_PAGE_BITS // 8)
        return page

    def __contains__(self, number: int) -> bool:
        page_no, bit = divmod(number, _PAGE_BITS)
        page = self._pages.get(page_no)
        return page is not None and bool(page[bit >> 3] & 1 << (bit & 7))
