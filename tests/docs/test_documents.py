"""Holds what the documents say about the source to the source: paths, modules, settings, dependencies."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("training/*.md")]

# What THIRD_PARTY.md calls a package of CMake's, where it isn't the package's name.
NAMES = {"fmt": "{fmt}", "nlohmann_json": "JSON for Modern C++", "tomlplusplus": "toml++", "GTest": "GoogleTest",
         "benchmark": "Google Benchmark"}


def read(name):
    return (ROOT / name).read_text()


class Documents(unittest.TestCase):
    def test_links_lead_to_files(self):
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", document.read_text()):
                self.assertTrue((document.parent / target).exists(), f"{document.name}: {target}")

    def test_paths_in_the_architecture_exist(self):
        paths = re.findall(r"(?<![\w/.])((?:[a-z_]+/)+(?:[a-z_0-9]+\.(?:cc|h|py|txt|md))?)", read("ARCHITECTURE.md"))
        self.assertGreater(len(paths), 15)
        for path in set(paths) - {"include/remuda/x.h"}:  # "x" stands for any.
            self.assertTrue((ROOT / path).exists() or (ROOT / "src" / path).exists(), path)

    def test_the_architecture_has_every_module(self):
        names = [line.split(":")[0] for line in read("tools/layers.txt").splitlines()]
        modules = [name for name in names if (ROOT / "src" / name).is_dir()]
        self.assertEqual(sorted(modules), sorted(path.name for path in (ROOT / "src").iterdir()))
        self.assertEqual(re.findall(r"^\| `([a-z]+)` \|", read("ARCHITECTURE.md"), re.M), modules)

    def test_every_setting_is_described(self):
        variables = set(re.findall(r"// ([A-Z][A-Z_0-9]{5,})", read("include/remuda/settings.h")))
        self.assertGreater(len(variables), 10)
        described = set(re.findall(r"`([A-Z][A-Z_0-9]{5,})`", read("docs/cli.md")))
        self.assertEqual(variables, described - {"REMUDA_ISA", "REMUDA_CUDA_LIBRARY", "CUDA_VISIBLE_DEVICES"})


class ThirdParty(unittest.TestCase):
    rows = [line.split(" | ") for line in read("THIRD_PARTY.md").splitlines() if line.startswith("| ")]

    def test_libraries(self):
        named = " ".join(row[0] for row in self.rows).casefold()
        packages = re.findall(r"find_package\((\w+)", read("cmake/RemudaDependencies.cmake"))
        self.assertGreater(len(packages), 8)
        for package in set(packages) - {"Threads"}:
            self.assertIn(NAMES.get(package, package).casefold(), named)

    def test_python_packages_with_their_versions(self):
        versions = {row[0][2:]: row[1] for row in self.rows}
        files = [*ROOT.glob("[a-z]*/requirements.txt"), *ROOT.glob("tests/*/requirements.txt")]
        wanted = [line for file in files for line in file.read_text().splitlines() if re.match(r"[a-z]", line)]
        self.assertGreater(len(wanted), 10)
        for package, relation, version in (re.match(r"([\w-]+)(\W*)(.*)", line).groups() for line in wanted):
            self.assertIn(package, versions)
            if relation == "==":
                self.assertEqual(versions[package], version, package)


if __name__ == "__main__":
    unittest.main()
