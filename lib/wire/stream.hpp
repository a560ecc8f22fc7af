#pragma once
// A bidirectional stream of gRPC's callback API, as both of ours need it.

#include <grpcpp/grpcpp.h>
#include <memory>
#include <mutex>
#include <utility>

namespace snakepit::detail {

/** Owns itself until gRPC is done with it, always has a read outstanding, and finishes exactly once.

    Derived classes start writes only through `write`, one at a time. Their hooks run on gRPC's threads: hand over and
    leave. */
template <class In, class Out>
class stream : public grpc::ServerBidiReactor<In, Out>, public std::enable_shared_from_this<stream<In, Out>> {
public:
    using in_message = In;
    using out_message = Out;

    /// Give the reactor to gRPC after this.
    void open() {
        self_ = this->shared_from_this();  // gRPC's own reference, until OnDone
        this->StartRead(&in_);
    }
    /// Any thread, any number of times. OnDone follows at once only if no write is stuck: see attachment::cut.
    void finish(const grpc::Status& why) {
        const std::lock_guard lock(mutex_);
        if (!std::exchange(finished_, true)) this->Finish(why);
    }

protected:
    /// @return  whether to go on; false finishes the stream
    virtual bool message(In& in) = 0;
    virtual void written(bool ok) = 0;
    /// Nothing more will be read; `gone` follows, but not while a write is stuck.
    virtual void ended() = 0;
    virtual void gone() = 0;

    /// `out` stays untouched until `written`.
    /// @return  false when the stream is finished; `written` does not follow then
    bool write(const Out* out) {
        const std::lock_guard lock(mutex_);
        if (finished_) return false;
        this->StartWrite(out);
        return true;
    }

private:
    void OnReadDone(bool ok) override {
        if (!ok) {
            ended();
            return finish(grpc::Status::OK);
        }
        if (!message(in_)) return finish(grpc::Status(grpc::StatusCode::ABORTED, "cut off"));
        const std::lock_guard lock(mutex_);
        if (!finished_) this->StartRead(&in_);
    }
    void OnWriteDone(bool ok) override {
        if (!ok) finish(grpc::Status::CANCELLED);
        written(ok);
    }
    void OnCancel() override { finish(grpc::Status::CANCELLED); }
    void OnDone() override {
        const auto keep = std::move(self_);  // last of all
        gone();
    }

    std::mutex mutex_;
    bool finished_ = false;
    In in_;
    std::shared_ptr<stream> self_;
};

}  // namespace snakepit::detail
