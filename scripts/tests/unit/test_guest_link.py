# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's status channel is understood however its bytes arrive."""
import random
import unittest

from rmpopt_cli.guest.guest_link import GuestLink

TALK = (b"noise from the firmware\r\n\0@tok hello\n\0@tok begin facts\nrelease 7.3\n\0@tok end facts 0\n"
        b"\0@tok begin output\nbinary \x00\xff\n\0@tok end other 5\nlast line without newline\0@tok end output 7\n"
        b"\0@wrong done 0\n\0@tok done 7\n")


class GuestLinkTest(unittest.TestCase):
    def feed(self, chunks: list[bytes]) -> GuestLink:
        self.live = b""
        self.finished: list[str] = []

        def take(data: bytes) -> None:
            self.live += data

        link = GuestLink("tok", on_output=take, on_section=lambda section: self.finished.append(section.name))
        for chunk in chunks:
            link.feed(chunk)
        return link

    def check(self, link: GuestLink) -> None:
        self.assertEqual([words for words in link.words], [["hello"], ["done", "7"]])
        facts, output = link.section("facts"), link.section("output")
        assert facts and output
        self.assertEqual(facts.content, b"release 7.3\n")
        self.assertEqual(output.content, b"binary \x00\xff\n\0@tok end other 5\nlast line without newline")
        self.assertEqual(output.status, 7)
        self.assertEqual(self.live, output.content)
        self.assertEqual(self.finished, ["facts", "output"])

    def test_all_at_once(self) -> None:
        self.check(self.feed([TALK]))

    def test_byte_by_byte(self) -> None:
        self.check(self.feed([TALK[i:i + 1] for i in range(len(TALK))]))

    def test_random_pieces(self) -> None:
        dice = random.Random(1)
        for _ in range(200):
            cuts = sorted(dice.sample(range(len(TALK)), 12))
            self.check(self.feed([TALK[a:b] for a, b in zip([0, *cuts], [*cuts, len(TALK)])]))

    def test_section_that_never_ends(self) -> None:
        link = self.feed([b"\0@tok begin output\nhalf of it"])
        self.assertIsNone(link.section("output"))
        self.assertIsNone(link.said("done"))
        self.assertEqual((link.text("output"), link.command_runs), ("half of it", True))

    def test_nothing_is_kept_back(self) -> None:
        """But what may be the beginning of a mark."""
        link, seen = self.feed([b"\0@tok begin output\n"]), []
        for piece in (b"line\n", b"no newline", b"nul\0", b"@tok en", b"d outpu", b"s\0@", b"tok end output 0\n"):
            link.feed(piece)
            seen.append(self.live)
        self.assertEqual(seen, [b"line\n", b"line\nno newline", *[b"line\nno newlinenul"] * 3,
                                *[b"line\nno newlinenul\0@tok end outpus"] * 2])
        self.assertFalse(link.command_runs)

    def test_start_after_something_unfinished(self) -> None:
        link = self.feed([b"\0@tok hello\n\0@tok wor\0@tok hello\n\0@tok done 0\n"])
        self.assertEqual(link.words, [["hello"], ["hello"], ["done", "0"]])

    TWO_STARTS = (b"\0@tok hello\n\0@tok begin output\nfirst\nhalf a li\0@tok hello\n"
                  b"\0@tok begin output\nsecond\n\0@tok end output 0\n\0@tok done 0\n")

    def test_second_start_cuts_a_section_off(self) -> None:
        for size in (1, 7, 1000):
            link = self.feed([self.TWO_STARTS[i:i + size] for i in range(0, len(self.TWO_STARTS), size)])
            self.assertEqual(link.starts, 2)
            self.assertEqual(link.text("output"), "first\nhalf a lisecond\n")
            section = link.section("output")
            assert section
            self.assertEqual((section.content, section.status), (b"second\n", 0))
            self.assertEqual(link.said("done"), ["done", "0"])

    def test_sections_of_an_earlier_kernel_do_not_count(self) -> None:
        link = self.feed([b"@tok hello\n@tok begin table\nold\n\n@tok end table 0\n@tok hello\n"])
        self.assertIsNone(link.section("table"))

    def test_output_that_looks_like_a_start(self) -> None:
        link = self.feed([b"\0@tok begin output\nsays @tok hello\n\0@tok hello you\n\0@tok end output 0\n"])
        self.assertEqual(link.starts, 0)

    def test_empty_section(self) -> None:
        section = self.feed([b"\0@tok begin table\n\0@tok end table 1\n"]).section("table")
        assert section
        self.assertEqual((section.content, section.status), (b"", 1))

    def test_last_section_of_a_name_counts(self) -> None:
        one = b"\0@tok begin table\n%s\0@tok end table 0\n"
        section = self.feed([one % b"first", one % b"second"]).section("table")
        assert section
        self.assertEqual(section.content, b"second")


if __name__ == "__main__":
    unittest.main()
