# SPDX-License-Identifier: GPL-2.0-or-later
"""The mutants of the hardware model."""
import shutil
import tempfile
import unittest
from pathlib import Path

import mutants

ENUMS = """enum class status : std::uint8_t { good = 0, bad = 1 };
enum class other {
    one, ///< not two
    two,
};
using enum status;
"""


def changed(code: str, file: str = "x.cc") -> list[str]:
    """The changed lines in the mutants of `code`."""
    return [m.after for m in mutants.mutants_of(file, code + "\n", mutants.enumerators([ENUMS]))]


class Mistakes(unittest.TestCase):
    def test_each_kind_is_made(self) -> None:
        for line, mistakes in {
            "x = a == b;": ["x = a != b;"],
            "x = a < b && c;": ["x = a <= b && c;", "x = a < b || c;"],
            "x = a + b;": ["x = a - b;"],
            "x += a;": ["x -= a;"],
            "f(a, 0x0f);": ["f(a, 16);"],
            "x = 1'000ull;": ["x = 1001ull;"],
            "x = !y;": ["x = y;"],
            "x = true;": ["x = false;"],
            "if (f(g(a))) {": ["if (!(f(g(a)))) {"],
            "x = f(a) ? b : c;": ["x = f(a) == false ? b : c;"],
            "return status::good;": ["return status::bad;"],
            "return must(a, good);": ["return must(!a, good);", "return must(a, bad);"],
            "x = ns::other::two;": ["x = ns::other::one;"],
        }.items():
            with self.subTest(line):
                self.assertEqual(changed(line), mistakes)

    def test_statements_are_dropped(self) -> None:
        code = "void f()\n{\n    m.call(a,\n           b);\n    p->x = c;\n    ++n;\n    if (d) {\n" \
               "        return;\n    }\n}\n"
        self.assertEqual(changed(code), [";", ";", ";", "if (!(d)) {", ";"])

    def test_a_function_does_not_lose_its_last_result(self) -> None:
        self.assertEqual(changed("int f()\n{\n    return g();\n}\n"), [])

    def test_declarations_stay(self) -> None:
        self.assertEqual(changed("{\n    const int a = b;\n    int f(int a);\n    using x = y;\n}\n"), [])

    def test_what_no_test_can_notice_stays(self) -> None:
        for line in ('log("a == 1");', "assert(a == f(1));", "static_assert(sizeof(a) == 1);", "// a == 1",
                     "#if A == 1", "case status::good:", "vector<int> &&x"):
            with self.subTest(line):
                self.assertEqual(changed(line), [])

    def test_only_functions_of_headers_are_touched(self) -> None:
        code = "constexpr int a = 1;\nstruct s {\n    explicit s(int b) : b_{b} { c = 2; }\n    int b_ = 3;\n" \
               "    int f() const\n" \
               "    {\n        return b_ + 4;\n    }\n};\n"
        self.assertEqual(changed(code, "x.h"), ["explicit s(int b) : b_{b} { c = 3; }", ";", "return b_ - 4;",
                                                "return b_ + 5;"])

    def test_what_makes_no_difference_or_no_sense_is_not_made(self) -> None:
        self.assertNotIn("x = 1u >> 0;", changed("x = 1u << 0;"))
        self.assertEqual(changed("if (const auto x = f()) {"), [])

    def test_the_mutant_differs_in_one_place(self) -> None:
        code = "x = a == b;\ny = a == b;\n"
        self.assertEqual([m.text for m in mutants.mutants_of("x.cc", code, {})],
                         ["x = a != b;\ny = a == b;\n", "x = a == b;\ny = a != b;\n"])

    def test_this_model_has_thousands(self) -> None:
        found = mutants.all_mutants(mutants.CHECKOUT / "hw-model")
        self.assertGreater(len(found), 2000)
        self.assertFalse([m for m in found if "/tests/" in m.file])

    def test_tests_of_the_same_name_run_first(self) -> None:
        tests = mutants.CHECKOUT / "hw-model/tests"
        about = mutants.suites_about("firmware/snp/platform.cc", tests)
        self.assertIn("*snp_platform.*", about)
        self.assertNotIn("snp_guests", about)
        self.assertIn("*snp_guests.*", mutants.suites_about("firmware/snp/digest.cc", tests))

    @unittest.skipUnless(shutil.which("meson"), "no meson")
    def test_the_model_can_be_built_by_itself_with_its_tests(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            sources = Path(scratch, "sources")
            mutants.lay_out(sources)
            mutants.configure(sources)
            self.assertIn("hw-model-test", sources.joinpath("build/build.ninja").read_text())


if __name__ == "__main__":
    unittest.main()
