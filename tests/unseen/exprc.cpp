// SPDX-License-Identifier: Apache-2.0
// Middle end of a small rule language: parses modules of rule functions, lowers
// them to value-numbered IR, simplifies, drops unused values, assigns registers
// and runs the result over input vectors for the self check.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rulec {
enum class Op : uint8_t { Const, Param, Add, Sub, Mul, And, Xor, Min, Max, Select };

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;
struct Expr {
    enum class Kind : uint8_t { Number, Name, Binary, Call } kind;
    Op op{};
    int64_t number = 0;
    std::string_view name;
    std::vector<ExprPtr> args;
};

struct Function {
    std::string_view name;
    std::vector<std::string_view> params;
    std::vector<std::pair<std::string_view, ExprPtr>> lets;
    ExprPtr result;
};

class Parser {
public:
    explicit Parser(std::string_view text) : p_(text.data()), end_(text.data() + text.size()) { advance(); }
    std::optional<Function> next_function() {
        if (tok_ != "fn") return std::nullopt;
        Function f;
        advance();
        f.name = take();
        expect("(");
        while (tok_ != ")") {
            f.params.push_back(take());
            if (tok_ == ",") advance();
        }
        expect(")");
        expect("{");
        while (tok_ == "let") {
            advance();
            std::string_view n = take();
            expect("=");
            f.lets.emplace_back(n, sum());
            expect(";");
        }
        expect("return");
        f.result = sum();
        expect(";");
        expect("}");
        return f;
    }

private:
    static bool word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }
    void advance() {
        while (p_ != end_ && (*p_ == ' ' || *p_ == '\n')) ++p_;
        const char* s = p_;
        while (p_ != end_ && word(*p_)) ++p_;
        if (p_ == s && p_ != end_) ++p_;
        tok_ = std::string_view(s, size_t(p_ - s));
    }
    std::string_view take() {
        std::string_view t = tok_;
        advance();
        return t;
    }
    void expect(std::string_view t) {
        if (tok_ != t) throw std::runtime_error("expected " + std::string(t));
        advance();
    }
    static ExprPtr binary(Op op, ExprPtr a, ExprPtr b) {
        auto e = std::make_unique<Expr>(Expr{Expr::Kind::Binary, op, 0, {}, {}});
        e->args.reserve(2);
        e->args.push_back(std::move(a));
        e->args.push_back(std::move(b));
        return e;
    }
    ExprPtr sum() {
        ExprPtr left = product();
        while (tok_ == "+" || tok_ == "-" || tok_ == "^") {
            Op op = tok_ == "+" ? Op::Add : tok_ == "-" ? Op::Sub : Op::Xor;
            advance();
            left = binary(op, std::move(left), product());
        }
        return left;
    }
    ExprPtr product() {
        ExprPtr left = atom();
        while (tok_ == "*" || tok_ == "&") {
            Op op = tok_ == "*" ? Op::Mul : Op::And;
            advance();
            left = binary(op, std::move(left), atom());
        }
        return left;
    }
    ExprPtr atom() {
        std::string_view t = take();
        if (t == "(") {
            ExprPtr e = sum();
            expect(")");
            return e;
        }
        if (t[0] >= '0' && t[0] <= '9') {
            auto e = std::make_unique<Expr>(Expr{Expr::Kind::Number, Op::Const, 0, {}, {}});
            std::from_chars(t.data(), t.data() + t.size(), e->number);
            return e;
        }
        if (tok_ != "(") return std::make_unique<Expr>(Expr{Expr::Kind::Name, Op::Param, 0, t, {}});
        Op op = t == "min" ? Op::Min : t == "max" ? Op::Max : Op::Select;
        auto e = std::make_unique<Expr>(Expr{Expr::Kind::Call, op, 0, t, {}});
        e->args.reserve(3);
        advance();
        while (tok_ != ")") {
            e->args.push_back(sum());
            if (tok_ == ",") advance();
        }
        expect(")");
        return e;
    }
    const char* p_;
    const char* end_;
    std::string_view tok_;
};

using Value = uint32_t;
struct Inst {
    Op op;
    std::array<Value, 3> in{};
    int64_t imm = 0;
    bool operator==(const Inst& o) const = default;
};

struct InstHash {
    size_t operator()(const Inst& i) const {
        uint64_t h = uint64_t(i.op) * 0x9e3779b97f4a7c15ull ^ uint64_t(i.imm);
        for (Value v : i.in) h = (h ^ v) * 0xff51afd7ed558ccdull;
        return size_t(h ^ (h >> 32));
    }
};

inline int64_t eval(Op op, int64_t a, int64_t b, int64_t c) {
    switch (op) {
        case Op::Add: return int64_t(uint64_t(a) + uint64_t(b));
        case Op::Sub: return int64_t(uint64_t(a) - uint64_t(b));
        case Op::Mul: return int64_t(uint64_t(a) * uint64_t(b));
        case Op::And: return a & b;
        case Op::Xor: return a ^ b;
        case Op::Min: return std::min(a, b);
        case Op::Max: return std::max(a, b);
        default: return (a & 1) ? b : c;
    }
}

class Lowering {
public:
    void begin(const Function& f) {
        code_.clear(), numbers_.clear(), scope_.clear();
        for (size_t i = 0; i < f.params.size(); ++i) scope_[f.params[i]] = emit({Op::Param, {}, int64_t(i)});
        for (const auto& [name, value] : f.lets) scope_[name] = lower(*value);
        result_ = lower(*f.result);
    }
    const std::vector<Inst>& code() const { return code_; }
    Value result() const { return result_; }

private:
    Value emit(Inst i) {
        if ((i.op == Op::Add || i.op == Op::Mul || i.op == Op::And || i.op == Op::Xor) && i.in[0] > i.in[1])
            std::swap(i.in[0], i.in[1]);
        auto [it, fresh] = numbers_.try_emplace(i, Value(code_.size()));
        if (fresh) code_.push_back(i);
        return it->second;
    }
    Value constant(int64_t v) { return emit({Op::Const, {}, v}); }
    Value simplify(Op op, Value a, Value b, Value c) {
        bool ka = code_[a].op == Op::Const, kb = code_[b].op == Op::Const;
        if (op == Op::Select) {
            if (ka) return (code_[a].imm & 1) ? b : c;
            if (b == c) return b;
            return emit({op, {a, b, c}, 0});
        }
        if (ka && kb) return constant(eval(op, code_[a].imm, code_[b].imm, 0));
        if (a == b && (op == Op::Sub || op == Op::Xor)) return constant(0);
        if (a == b && (op == Op::And || op == Op::Min || op == Op::Max)) return a;
        if (kb && code_[b].imm == 0 && (op == Op::Add || op == Op::Sub || op == Op::Xor)) return a;
        if (kb && code_[b].imm == 1 && op == Op::Mul) return a;
        if (kb && code_[b].imm == 0 && (op == Op::Mul || op == Op::And)) return b;
        return emit({op, {a, b, 0}, 0});
    }
    Value lower(const Expr& e) {
        if (e.kind == Expr::Kind::Number) return constant(e.number);
        if (e.kind == Expr::Kind::Name) {
            auto it = scope_.find(e.name);
            return it == scope_.end() ? constant(0) : it->second;
        }
        Value a = lower(*e.args[0]), b = lower(*e.args[1]);
        Value c = e.args.size() > 2 ? lower(*e.args[2]) : b;
        return simplify(e.op, a, b, c);
    }
    std::vector<Inst> code_;
    std::unordered_map<Inst, Value, InstHash> numbers_;
    std::unordered_map<std::string_view, Value> scope_;
    Value result_ = 0;
};

struct MachineOp {
    Op op;
    uint16_t dst, a, b, c;
    int64_t imm;
};

struct Program {
    std::vector<MachineOp> ops;
    uint16_t registers = 0;
    uint16_t result = 0;
};

// Keeps what the result needs and reuses a register after its value's last use.
Program allocate(const std::vector<Inst>& code, Value result) {
    constexpr uint32_t kUnused = ~0u;
    std::vector<uint32_t> last(code.size(), kUnused);
    last[result] = uint32_t(code.size());
    for (size_t i = code.size(); i-- > 0;) {
        if (last[i] == kUnused || code[i].op <= Op::Param) continue;
        size_t n = code[i].op == Op::Select ? 3 : 2;
        for (size_t k = 0; k < n; ++k)
            if (Value v = code[i].in[k]; last[v] == kUnused) last[v] = uint32_t(i);
    }
    Program p;
    p.ops.reserve(code.size());
    std::vector<uint16_t> reg(code.size()), spare;
    for (size_t i = 0; i < code.size(); ++i) {
        if (last[i] == kUnused) continue;
        const Inst& in = code[i];
        MachineOp m{in.op, 0, 0, 0, 0, in.imm};
        if (in.op > Op::Param) {
            m.a = reg[in.in[0]], m.b = reg[in.in[1]], m.c = reg[in.in[2]];
            size_t n = in.op == Op::Select ? 3 : 2;
            for (size_t k = 0; k < n; ++k) {
                auto operand = in.in.begin() + k;
                if (last[*operand] == i && std::find(in.in.begin(), operand, *operand) == operand) spare.push_back(reg[*operand]);
            }
        }
        m.dst = spare.empty() ? p.registers++ : spare.back();
        if (!spare.empty()) spare.pop_back();
        reg[i] = m.dst;
        p.ops.push_back(m);
    }
    p.result = reg[result];
    return p;
}

int64_t execute(const Program& p, const int64_t* params, std::vector<int64_t>& regs) {
    regs.resize(p.registers);
    for (const MachineOp& m : p.ops) {
        if (m.op == Op::Const) regs[m.dst] = m.imm;
        else if (m.op == Op::Param) regs[m.dst] = params[m.imm];
        else regs[m.dst] = eval(m.op, regs[m.a], regs[m.b], regs[m.c]);
    }
    return regs[p.result];
}

class ModuleWriter {
    uint64_t r_;

public:
    explicit ModuleWriter(uint64_t seed) : r_(seed) {}
    std::string write(int functions) {
        std::string s;
        s.reserve(size_t(functions) * 2400);
        for (int f = 0; f < functions; ++f) {
            s += "fn rule_" + std::to_string(f) + "(alpha, beta, gamma, delta) {\n";
            int lets = 12 + int(rnd() % 20);
            for (int l = 0; l < lets; ++l) {
                expr(s += "  let t" + std::to_string(l) + " = ", 4, l), s += ";\n";
            }
            expr(s += "  return ", 5, lets), s += ";\n}\n";
        }
        return s;
    }

private:
    uint32_t rnd() {
        r_ = r_ * 6364136223846793005ull + 1442695040888963407ull;
        return uint32_t(r_ >> 33);
    }
    void leaf(std::string& s, int lets) {
        static const char* const names[] = {"alpha", "beta", "gamma", "delta"};
        uint32_t c = rnd() % 8;
        if (c < 2) s += std::to_string(rnd() % 3);
        else if (c < 5 && lets > 0) s += "t" + std::to_string(rnd() % uint32_t(lets));
        else s += names[rnd() % 4];
    }
    void expr(std::string& s, int depth, int lets) {
        static const char* const ops[] = {" + ", " - ", " * ", " & ", " ^ "};
        static const char* const calls[] = {"min(", "max(", "sel("};
        uint32_t k = rnd() % 10, c = rnd() % 3;
        if (depth == 0 || k == 0) return leaf(s, lets);
        s += k < 7 ? "(" : calls[c];
        uint32_t args = k >= 7 && c == 2 ? 3 : 2;
        for (uint32_t i = 0; i < args; ++i) {
            if (i) s += k < 7 ? ops[rnd() % 5] : ", ";
            expr(s, depth - 1, lets);
        }
        s += ')';
    }
};

}  // namespace rulec

int main() {
    using namespace rulec;
    auto t0 = std::chrono::steady_clock::now();
    uint64_t digest = 0;
    size_t functions = 0, instructions = 0;
    Lowering lowering;
    std::vector<int64_t> regs;
    for (uint64_t module = 1; module <= 230; ++module) {
        std::string text = ModuleWriter(module * 7919).write(120);
        Parser parser(text);
        while (auto f = parser.next_function()) {
            lowering.begin(*f);
            Program p = allocate(lowering.code(), lowering.result());
            ++functions;
            instructions += p.ops.size();
            for (int64_t v = 0; v < 16; ++v) {
                int64_t params[4] = {v * 31 + 7, 1000 - v, v * v, int64_t(module) ^ v};
                digest = digest * 1099511628211ull ^ uint64_t(execute(p, params, regs));
            }
        }
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("functions=%zu instructions=%zu digest=%016llx seconds=%.3f\n", functions, instructions,
                (unsigned long long)digest, s);
    return 0;
}
