target_link_libraries(${target} PRIVATE tomlplusplus::tomlplusplus)
