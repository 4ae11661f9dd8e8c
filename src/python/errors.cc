#include "python/errors.h"

#include "remuda/error.h"

namespace remuda::python {
namespace {

namespace nb = nanobind;

void set_python_error(const Error& error) {
  // Looked up for each error: held on to, the classes would be references that outlive the interpreter.
  const nb::object types = nb::module_::import_("remuda.errors").attr("BY_CODE");
  const std::string_view code = to_string(error.code());
  const nb::object type = types[nb::str(code.data(), code.size())];
  const std::string message = error.what();
  // A message may quote bytes of a file or a name, which need not be UTF-8.
  const nb::object text =
      nb::steal(PyUnicode_DecodeUTF8(message.data(), static_cast<Py_ssize_t>(message.size()), "backslashreplace"));
  const nb::object raised = type(text);
  if (const auto* of_device = dynamic_cast<const DeviceError*>(&error)) {
    raised.attr("device") = nb::str(of_device->device().c_str());
    raised.attr("is_lost") = of_device->is_lost();
  }
  PyErr_SetObject(type.ptr(), raised.ptr());
}

}  // namespace

void register_errors() {
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Error& error) {
      set_python_error(error);
    }
  });
}

void raise(PyObject* type, const std::string& message) {
  PyErr_SetString(type, message.c_str());
  throw nb::python_error();
}

}  // namespace remuda::python
