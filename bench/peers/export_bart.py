#!/usr/bin/env python3
"""Converts a BART directory into CTranslate2's format:  export_bart.py MODEL DIRECTORY

Writes DIRECTORY/fp32 and DIRECTORY/int8, which is quantized here, so that it loads as quickly as it can.
"""
import argparse
import logging
import pathlib
import warnings

import ctranslate2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("directory", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    arguments.directory.mkdir()
    for name, quantization in (("fp32", None), ("int8", "int8")):
        converter = ctranslate2.converters.TransformersConverter(arguments.model)
        converter.convert(str(arguments.directory / name), quantization=quantization)


if __name__ == "__main__":
    main()
