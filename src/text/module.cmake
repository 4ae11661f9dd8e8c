target_link_libraries(${target} PRIVATE utf8proc)
