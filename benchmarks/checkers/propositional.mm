$( Propositional calculus: the axioms that proof_check.py gives to metamath.
   The three axioms of Lukasiewicz and modus ponens, as in set.mm (public domain). $)

$c ( ) -> -. wff |- $.
$v ph ps ch $.
wph $f wff ph $.
wps $f wff ps $.
wch $f wff ch $.

$( If ph is a formula, so is its negation. $)
wn $a wff -. ph $.
$( If ph and ps are formulas, so is the implication. $)
wi $a wff ( ph -> ps ) $.

${
  min $e |- ph $.
  maj $e |- ( ph -> ps ) $.
  ax-mp $a |- ps $.
$}
ax-1 $a |- ( ph -> ( ps -> ph ) ) $.
ax-2 $a |- ( ( ph -> ( ps -> ch ) ) -> ( ( ph -> ps ) -> ( ph -> ch ) ) ) $.
ax-3 $a |- ( ( -. ph -> -. ps ) -> ( ps -> ph ) ) $.
