#!/bin/bash
# cc1plus: the C++ compiler on a large unit (crashed one peer, never ended under another): the same assembly.
. "$(dirname "$0")/../lib/suite.sh"
cc1plus=$(g++ -print-prog-name=cc1plus)
unit=$work/unit.cc
{
	for h in algorithm any array atomic bitset chrono complex condition_variable deque filesystem forward_list functional \
		future iomanip iostream iterator limits list locale map memory mutex numeric optional queue random regex \
		set sstream stack string string_view thread tuple type_traits unordered_map unordered_set utility valarray \
		variant vector; do
		echo "#include <$h>"
	done
	for n in $(seq "${CC_FUNCTIONS:-12}"); do
		cat <<-END
			struct key_$n { std::string a; int b; bool operator<(const key_$n &o) const { return std::tie(a, b) < std::tie(o.a, o.b); } };
			int use_$n(const std::vector<std::string> &in) {
				std::map<key_$n, std::unordered_map<std::string, std::vector<std::tuple<int, double, key_$n>>>> m;
				for (auto &s : in) m[{s, $n}][s].emplace_back($n, 1.5, key_$n{s, 2});
				std::variant<int, std::string, std::vector<key_$n>> v = $n;
				return std::visit([](auto &&x) { return (int)sizeof x; }, v) + (int)m.size();
			}
		END
	done
} >"$unit"
g++ -std=c++17 -E "$unit" -o "$work/unit.ii" || { fail "preprocess" ""; suite_end; }

"$cc1plus" -quiet -O1 -std=c++17 -fpreprocessed "$work/unit.ii" -o "$work/plain.s" 2>"$work/err.plain"
plain=$?
bounded 300 "$mtrace" run -f -o "$work/rec.mtr" -- "$cc1plus" -quiet -O1 -std=c++17 -fpreprocessed "$work/unit.ii" \
	-o "$work/traced.s" >"$work/out" 2>"$work/err"
status=$?
[ $status = $plain ] && [ $plain = 0 ] && cmp -s "$work/plain.s" "$work/traced.s" && pass "the same assembly" ||
	fail "the same assembly" "status $status, untracked $plain: $(tail -c 300 "$work/err")"
trusted "trust box" "$work/rec.mtr"

# The driver's child, asked for by name.
echo 'int main() { return 0; }' >"$work/small.cc"
MTRACE_OPTIONS="dir=$segments" bounded 60 "$mtrace" run -f --follow cc1plus -o "$work/rec.mtr" -- g++ -c "$work/small.cc" \
	-o "$work/small.o" >"$work/out" 2>"$work/err"
status=$?
json "$work/rec.mtr" "$work/report.json" >"$work/said"
[ $status = 0 ] && [ -s "$work/small.o" ] && query "$work/report.json" '.processes[].exe' | grep -q 'cc1plus$' &&
	pass "followed from g++" || fail "followed from g++" "status $status: $(query "$work/report.json" '.processes[].exe' | tr '\n' ' ')"
suite_end
