#pragma once
// Spans on their way out.

#include "telemetry/span.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace snakepit::detail {

/** What one export takes. Encoded already, so that what waits for its receiver is small, and nobody has to take it
   apart again. */
class span_batch {
public:
    /// When it throws, for want of memory, nothing has changed.
    void add(const span& s);

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// As ExportTraceServiceRequest: those of one process are one resource, the host's with what is the process's own.
    [[nodiscard]] std::string request(const resource_attributes& host) const;

private:
    struct spans_of_process {
        std::shared_ptr<const resource_attributes> process;
        std::string spans;  // each as one of ScopeSpans.spans
    };

    std::vector<spans_of_process> by_process_;  // a few: a search is quick
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace snakepit::detail
