include("${CMAKE_CURRENT_LIST_DIR}/linear.cmake")
