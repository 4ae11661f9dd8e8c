// remuda::Error as the exceptions of remuda.errors.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

namespace remuda::python {

// Every Error that leaves a bound function becomes the class of its code; see python/remuda/errors.py.
void register_errors();

// Throws one of Python's own exceptions.
[[noreturn]] void raise(PyObject* type, const std::string& message);

}  // namespace remuda::python
