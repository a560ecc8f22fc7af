#pragma once
// Takes whatever is exported by OTLP, in this process, and says that all is well.

#include <fmt/format.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace snakepit::perf {

class otlp_sink {
public:
    otlp_sink() {
        grpc::ServerBuilder builder;
        builder.RegisterCallbackGenericService(&service_);
        builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
        server_ = builder.BuildAndStart();
    }
    ~otlp_sink() {
        server_->Shutdown(std::chrono::system_clock::now());
        server_->Wait();
    }
    otlp_sink(const otlp_sink&) = delete;
    otlp_sink& operator=(const otlp_sink&) = delete;

    [[nodiscard]] std::string address() const { return fmt::format("http://127.0.0.1:{}", port_); }

private:
    class export_call final : public grpc::ServerGenericBidiReactor {
    public:
        export_call() { StartRead(&in_); }

    private:
        void OnReadDone(bool ok) override {
            if (!ok) return Finish(grpc::Status::OK);
            const grpc::Slice nothing("");  // an empty response of either service
            out_ = grpc::ByteBuffer(&nothing, 1);
            StartWriteAndFinish(&out_, grpc::WriteOptions(), grpc::Status::OK);
        }
        void OnDone() override { delete this; }

        grpc::ByteBuffer in_;
        grpc::ByteBuffer out_;
    };
    class service final : public grpc::CallbackGenericService {
        grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
            return new export_call;
        }
    };

    service service_;
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
};

}  // namespace snakepit::perf
