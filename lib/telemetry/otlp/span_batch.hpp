#pragma once
// Spans on their way out.

#include "telemetry/span.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/// Appends a span as OTLP has it: as one of ScopeSpans.spans.
void append(const span& s, std::string& to);

/** What one export takes. Encoded already, so that what waits for its receiver is small, and nobody has to take it
   apart again. */
class span_batch {
public:
    /// @param encoded  by `append`
    /// @param process  that made it; null: the host
    void add(std::string_view encoded, const std::shared_ptr<const resource_attributes>& process);

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// As ExportTraceServiceRequest: those of one process are one resource, the host's with what is the process's own.
    [[nodiscard]] std::string request(const resource_attributes& host) const;

private:
    struct spans_of_process {
        std::shared_ptr<const resource_attributes> process;
        std::string spans;
    };

    std::vector<spans_of_process> by_process_;  // a few: a search is quick
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace snakepit::detail
