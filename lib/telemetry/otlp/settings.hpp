#pragma once
// Where and how a pool exports, as its options and the environment say.

#include "telemetry/span.hpp"
#include "telemetry/tracer.hpp"

#include <snakepit/error.hpp>
#include <snakepit/options.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::detail {

/// One receiver of one kind of data.
struct otlp_target {
    std::string address;  ///< "host:4317", as gRPC has it
    bool tls = false;
    std::string certificate;         ///< PEM, of who signed the receiver's; empty: the system's
    std::string client_certificate;  ///< PEM, our own; empty: none
    std::string client_key;          ///< PEM
    bool gzip = false;
    std::vector<std::pair<std::string, std::string>> headers;  ///< sent with each export
    std::chrono::milliseconds timeout{10'000};                 ///< of one attempt
};

/// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has the meanings and defaults.
struct otlp_settings {
    std::optional<otlp_target> traces;   ///< nothing: none are exported
    std::optional<otlp_target> metrics;  ///< likewise
    sampling traced;
    std::size_t max_queue = 8'192;  ///< spans
    std::size_t max_batch = 512;    ///< likewise
    std::chrono::milliseconds schedule_delay{5'000};
    std::chrono::milliseconds metrics_interval{60'000};
    resource_attributes resource;
    std::vector<std::string> warnings;  ///< what could not be understood and is as if it was not there
};

/// The value of an environment variable; null: it is not set.
using environment_lookup = std::function<const char*(const char* name)>;

/// @return  or errc::invalid_options, naming what cannot be in the options and what may. The environment is never
///          refused: what cannot be there is a warning
[[nodiscard]] result<otlp_settings> otlp_settings_from(const telemetry_options& options, const environment_lookup& env);

/// Whether OTEL_SEMCONV_STABILITY_OPT_IN asks for OpenTelemetry's metrics of calls: "rpc" or "rpc/dup" is in its list.
[[nodiscard]] bool wants_rpc_metrics(const environment_lookup& env);

}  // namespace snakepit::detail
