#!/usr/bin/env python3
"""Converts a BART directory into CTranslate2's format:  export_bart.py MODEL DIRECTORY"""
import argparse
import logging
import warnings

import ctranslate2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("directory")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    ctranslate2.converters.TransformersConverter(arguments.model).convert(arguments.directory)


if __name__ == "__main__":
    main()
