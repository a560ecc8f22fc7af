#pragma once
/// @file
/// What a Python module offers to C++.

#include <string>
#include <vector>

namespace snakepit {

/// One parameter of a tool, as `inspect.signature` sees it.
struct tool_parameter {
    enum class kind { positional_only, positional_or_keyword, var_positional, keyword_only, var_keyword };
    std::string name;
    kind passing = kind::positional_or_keyword;
    std::string annotation;  ///< as text; empty: none
    bool has_default = false;
    std::string default_text;  ///< repr() of the default; empty without one
};

/// A Python function that C++ may call.
struct tool_spec {
    std::string name;
    std::string doc;  ///< the docstring
    std::vector<tool_parameter> parameters;
    std::string returns;  ///< the annotation as text; empty: none
    /// "idempotent": see `call_options::idempotent`; "batch:N": up to N calls are run together; "stream": yields items,
    /// "input:NAME": takes some, see `pool::stream`; "group:NAME": see `pool_options::groups`
    std::vector<std::string> flags;
};

}  // namespace snakepit
