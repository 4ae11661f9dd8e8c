# cmake -DNM=... -DOBJECTS=a.o,b.o -P check_isolation.cmake
#
# Fails when an object that was compiled for a special instruction set defines a symbol that the linker may merge with
# the same inline function from elsewhere: the whole program could then run AVX code on a machine without it.
string(REPLACE "," ";" OBJECTS "${OBJECTS}")
foreach(object ${OBJECTS})
  execute_process(COMMAND ${NM} --demangle --defined-only "${object}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" shared "${symbols}")
  if(shared)
    list(JOIN shared "\n  " shared)
    message(SEND_ERROR "${object} defines symbols that other objects may end up using:\n  ${shared}")
  endif()
endforeach()
