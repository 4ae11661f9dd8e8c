include("${CMAKE_CURRENT_LIST_DIR}/rowwise.cmake")
