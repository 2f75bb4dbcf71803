# SPDX-License-Identifier: GPL-2.0-or-later
"""Each form in which users have a kernel is found, with its modules and symbols, or refused with what is missing."""
import os
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli.base.errors import SETUP_FAILED, Failure
from rmpopt_cli.guest import symbols
from rmpopt_cli.provision import debian_kernel, given_kernel, modules
from rmpopt_cli.provision.cache import Cache
from .test_input import Scratch, kernel_image

MODULAR = "CONFIG_KVM_AMD=m\nCONFIG_CRYPTO_DEV_CCP_DD=m\n"


class Files(Scratch):
    def put(self, name: str, content: bytes = b"") -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


class ModulesTest(Files):
    NEEDS = {"kvm_amd": ["kvm", "ccp"], "kvm": ["irqbypass"], "ccp": [], "irqbypass": []}

    def order(self) -> list[str]:
        found = modules.in_order(self.top, needs=lambda path: self.NEEDS[modules.name_of(path)])
        return [path.name for path in found]

    def test_come_after_those_that_they_need(self) -> None:
        for name in ("kvm/kvm-amd.ko.xz", "kvm/kvm.ko.xz", "ccp/ccp.ko.zst", "lib/irqbypass.ko", "other.ko.xz"):
            self.put(name)
        self.assertEqual(self.order(), ["ccp.ko.zst", "irqbypass.ko", "kvm.ko.xz", "kvm-amd.ko.xz"])

    def test_built_in_ones_are_left_out(self) -> None:
        self.put("ccp.ko")
        self.assertEqual(self.order(), ["ccp.ko"])

    def test_one_that_is_needed_is_missing(self) -> None:
        for name in ("kvm-amd.ko", "kvm.ko", "ccp.ko"):
            self.put(name)
        self.refused("module kvm in .* needs irqbypass", self.order)

    def test_no_modules(self) -> None:
        self.put("kvm-amd.o")
        self.put("kvm.ko.cmd")
        self.refused("no modules", self.order)
        self.refused("no modules", modules.files, self.top / "absent")


class TreeTest(Files):
    def test_built_in(self) -> None:
        built = self.put("arch/x86/boot/bzImage", kernel_image())
        self.put(".config", b"CONFIG_KVM_AMD=y\n")
        self.assertEqual(given_kernel.find(Cache(), str(self.top)),
                         debian_kernel.Kernel(built, None, {"CONFIG_KVM_AMD": "y"}))

    def test_output_of_kernel_build(self) -> None:
        copied = self.put("bzImage", kernel_image())
        given_kernel.check(str(self.top))
        self.assertEqual(given_kernel.find(Cache(), str(self.top)).image, copied)

    def test_not_built(self) -> None:
        self.put(".config", MODULAR.encode())
        self.refused("run 'make bzImage'", given_kernel.check, str(self.top))

    def test_neither_file_nor_name(self) -> None:
        self.refused(r"debain: .* \(did you mean debian\?\): give a bzImage, .*: debian, debian:6.12, variants, debug$",
                     given_kernel.check, "debain")

    def test_truncated(self) -> None:
        self.put("arch/x86/boot/bzImage", kernel_image(syssize=4096)[:9000])
        self.refused("truncated", given_kernel.check, str(self.top))

    def test_modules_not_built(self) -> None:
        self.put("arch/x86/boot/bzImage", kernel_image())
        self.put(".config", MODULAR.encode())
        self.refused("make modules", given_kernel.check, str(self.top))
        self.put("drivers/crypto/ccp/ccp.ko")
        self.refused("kvm_amd should be a module", given_kernel.check, str(self.top))
        self.put("arch/x86/kvm/kvm-amd.ko")
        given_kernel.check(str(self.top))

    def test_symbols_lie_at_the_top(self) -> None:
        built = self.put("arch/x86/boot/bzImage", kernel_image())
        self.put("System.map", b"ffffffff81000000 T _text\n")
        self.assertTrue(symbols.for_kernel(None, built))
        self.assertFalse(symbols.for_kernel(None, self.put("boot/bzImage")))


class BuildTest(Files):
    MAKEFILE = ("olddefconfig:\n\techo CONFIG_KVM_AMD=y >> .config\nbzImage: arch\n"
                "\t@echo '  CC      init/main.o'; cp image arch/x86/boot/bzImage\narch:\n\tmkdir -p arch/x86/boot\n"
                "modules:\n\ttouch modules-made\n")

    def setUp(self) -> None:
        super().setUp()
        self.cache = Cache(self.top / "cache")
        self.put("Makefile", self.MAKEFILE.encode())
        self.put("image", kernel_image())

    def test_make_runs_first(self) -> None:
        self.put(".config")
        given_kernel.check(str(self.top), True)
        kernel = given_kernel.find(self.cache, str(self.top), True)
        self.assertEqual(kernel.image.read_bytes(), kernel_image())
        self.assertFalse((self.top / "modules-made").exists())

    def test_modules_are_made_if_there_are_any(self) -> None:
        self.put(".config", b"CONFIG_E1000=m\n")
        given_kernel.find(self.cache, str(self.top), True)
        self.assertTrue((self.top / "modules-made").exists())

    def test_programs_are_those_of_the_environment(self) -> None:
        self.put(".config")
        said = "echo '$@: $(CC), $(LD), $(HOSTCC), $(LLVM)' >> used\n"
        (self.top / "Makefile").write_text("CC = gcc\nLD = ld\nHOSTCC = gcc\n" + self.MAKEFILE.replace(
            ":\n\techo", f":\n\t{said}\techo").replace("arch\n\t@", f"arch\n\t{said}\t@"))
        mine = {"CC": "ccache gcc", "HOSTCC": "my-gcc", "LD": "", "LLVM": "-19"}
        with mock.patch.dict(os.environ, mine):
            given_kernel.find(self.cache, str(self.top), True)
        self.assertEqual((self.top / "used").read_text(),
                         "olddefconfig: ccache gcc, ld, my-gcc, -19\nbzImage: ccache gcc, ld, my-gcc, -19\n")

    def test_what_fails_is_said_and_no_old_image_is_taken(self) -> None:
        self.put(".config")
        self.put("arch/x86/boot/bzImage", kernel_image())
        (self.top / "Makefile").write_text("olddefconfig:\nbzImage:\n\t@echo 'main.c:1: error: no'; exit 1\n")
        with self.assertRaisesRegex(Failure, r"kernel build: main\.c:1: error: no \(log: ") as caught:
            given_kernel.find(self.cache, str(self.top), True)
        self.assertEqual(caught.exception.status, SETUP_FAILED)

    def test_a_symbol_that_a_module_lacks(self) -> None:
        self.put(".config")
        (self.top / "Makefile").write_text("olddefconfig:\nbzImage:\n\t@echo '  MODPOST Module.symvers'; "
                                           "echo 'ERROR: modpost: it is undefined!'; exit 1\n")
        with self.assertRaisesRegex(Failure, "kernel build: ERROR: modpost: it is undefined!"):
            given_kernel.find(self.cache, str(self.top), True)

    def test_what_is_no_tree(self) -> None:
        self.refused("no .config in", given_kernel.check, str(self.top), True)
        for name in ("", "debian", str(self.top / "image")):
            self.refused("--build needs the tree", given_kernel.check, name, True)


class PackageTest(Files):
    def package(self, name: str, depends: str, *files: str, provides: str = "") -> Path:
        work = self.top / "work" / name
        for file in files:
            self.put(f"work/{name}/{file}", kernel_image() if "vmlinuz" in file else b"content")
        fields = {"Package": name, "Version": "1", "Architecture": "amd64", "Maintainer": "A <a@example.org>",
                  "Description": "a kernel", **({"Depends": depends} if depends else {}),
                  **({"Provides": provides} if provides else {})}
        self.put(f"work/{name}/DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in fields.items()).encode())
        made = self.top / f"{name}_1_amd64.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", work, made], check=True, capture_output=True)
        return made

    def found(self, package: Path) -> debian_kernel.Kernel:
        given_kernel.check(str(package))
        return given_kernel.find(Cache(self.top / "cache"), str(package))

    def test_in_one_piece(self) -> None:
        kernel = self.found(self.package("linux-image-7.3.0-me", "", "boot/vmlinuz-7.3.0-me",
                                         "boot/System.map-7.3.0-me", "lib/modules/7.3.0-me/kernel/other.ko"))
        self.assertEqual(kernel.image.read_bytes(), kernel_image())
        self.assertEqual(kernel.modules, kernel.image.parent / "modules")
        self.assertEqual((kernel.image.parent / "System.map").read_bytes(), b"content")

    def test_split(self) -> None:
        image = self.package("linux-image-7.3.4+deb13-amd64", "kmod, linux-binary-7.3.4+deb13-amd64 (= 1), "
                             "linux-modules-7.3.4+deb13-amd64 (= 1), linux-base")
        self.refused("needs linux-binary-7.3.4.*apt-get download", given_kernel.check, str(image))
        self.package("linux-binary-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64 (= 1)",
                     "boot/vmlinuz-7.3.4+deb13-amd64")
        self.refused("needs linux-modules-7.3.4", given_kernel.check, str(image))
        self.package("linux-modules-7.3.4+deb13-amd64", "", "usr/lib/modules/7.3.4+deb13-amd64/kernel/other.ko")
        kernel = self.found(image)
        self.assertEqual(kernel.image.read_bytes(), kernel_image())
        self.assertTrue((kernel.image.parent / "modules/kernel/other.ko").is_file())

    def test_one_part_provides_another(self) -> None:
        image = self.package("linux-image-7.1-amd64", "linux-binary-7.1-amd64, linux-modules-7.1-amd64")
        self.package("linux-binary-7.1-amd64", "", "boot/vmlinuz-7.1-amd64", provides="linux-modules-7.1-amd64 (= 1)")
        self.assertEqual(self.found(image).image.read_bytes(), kernel_image())

    def test_of_something_else(self) -> None:
        self.refused("no package of a kernel", given_kernel.check, str(self.package("hello", "")))
        self.refused("no Debian package", given_kernel.check, str(self.put("kernel.deb", b"text")))
        self.refused("no Debian package", given_kernel.check, str(self.top / "absent.deb"))

    def test_without_an_image(self) -> None:
        self.refused("holds no kernel image", self.found, self.package("linux-image-7.3.0-dbg", "", "usr/lib/debug/x"))


class NameTest(Files):
    def test_versions(self) -> None:
        for name in ("debian", "debian:6.12", "debian:7.3"):
            given_kernel.check(name)
        for name in ("debian:", "debian:trixie", "debian:6.12.1"):
            self.refused("MAJOR.MINOR", given_kernel.check, name)

    def test_the_cache_is_asked_for_the_version(self) -> None:
        cache = Cache(self.top / "cache")
        for release in ("7.3.4+deb13-amd64", "6.12.117+deb13-amd64"):
            cache.ensure("debian-kernel", release, lambda where: (where / "vmlinuz").write_bytes(b"x"))
        for name, release in (("debian", "7.3.4+deb13-amd64"), ("debian:6.12", "6.12.117+deb13-amd64"),
                              ("debian:7.3", "7.3.4+deb13-amd64")):
            self.assertEqual(given_kernel.find(cache, name).image.parent.name, release)

    def test_the_archive_is_asked_for_the_newest_of_the_version(self) -> None:
        class Archive:
            @staticmethod
            def names(pattern: str) -> list[str]:
                return [name for name in (
                    "linux-image-6.12.9+deb13-amd64", "linux-image-6.12.41+deb13-amd64",
                    "linux-image-6.12.41+deb13-amd64-unsigned", "linux-image-6.12.50+deb13-rt-amd64",
                    "linux-image-6.1.0-9-amd64",
                    "linux-image-6.12.41+deb13-arm64") if name.startswith(pattern)]

            @staticmethod
            def query(verb: str, *names: str) -> str:
                absent = {"linux-image-7.1-amd64": "<linux-modules-7.1-amd64>",
                          "linux-image-7.2-amd64": "<linux-modules-7.2-amd64>\n    linux-modules-provided"}
                return "".join(f"{name}\n  PreDepends: linux-base\n  Depends: kmod\n"
                               "  Depends: linux-binary-7.1-amd64\n"
                               f"  Depends: {absent.get(name, 'x')}\n  Breaks: linux-image-7.1-amd64\n"
                               for name in names)

        asked = ["7.3-amd64", "7.2-amd64", "7.1-amd64"]
        self.assertEqual(debian_kernel._complete(Archive, asked),  # type: ignore[arg-type]
                         ["7.3-amd64", "7.2-amd64"])
        self.assertEqual(debian_kernel._complete(Archive, []), [])  # type: ignore[arg-type]
        self.assertEqual(debian_kernel._packages(Archive, "7.1-amd64"),  # type: ignore[arg-type]
                         ["linux-image-7.1-amd64", "linux-binary-7.1-amd64"])
        self.assertEqual(debian_kernel._releases(Archive, "6.12"),  # type: ignore[arg-type]
                         ["6.12.41+deb13-amd64", "6.12.9+deb13-amd64"])
        self.assertEqual(debian_kernel._releases(Archive, "6.1"), ["6.1.0-9-amd64"])  # type: ignore[arg-type]

    def test_a_version_that_the_archive_lacks(self) -> None:
        class Archive:
            asked = 0

            def __init__(self, cache: Cache, suites: object) -> None:
                pass

            @staticmethod
            def names(pattern: str) -> list[str]:
                return ["linux-image-7.2-amd64", *(f"linux-image-6.12.{n}-amd64" for n in range(50))]

            @classmethod
            def query(cls, verb: str, *names: str) -> str:
                cls.asked += 1
                return "".join(f"{name}\n  Depends: kmod\n" for name in names)

        with mock.patch.object(debian_kernel, "Archive", Archive):
            self.refused("debian:9.99: the archive has no linux-image 9.99 .* it has 7.2, 6.12$", given_kernel.find,
                         Cache(self.top / "cache"), "debian:9.99")
        self.assertEqual(Archive.asked, len(debian_kernel.BINARY_SUITES))


if __name__ == "__main__":
    unittest.main()
