/* The disclosure rules in Spin; tests/models/test_disclosure_spin.py runs it, and wrong variants that must fail:
 * -DFREE_HOLDS -DUNSHIFTED -DENDLESS_VETO -DESC_OK=0.
 * Safeconduct disclosure core: 3 content classes x 2 recipients, adversarial auditor (may stop, may leak early),
 * adversarial lab (may refuse consent, may spam holds), threshold escrow (ESC_OK honest holders available).
 * Time is a bounded counter; TICK is the only time source.
 * permit/oblige duals:
 *   AGG  : permit to REG at run close; to PUB  at t>=EMB or consent
 *          oblige REG by D_REG, PUB by EMB+G
 *   TASK : permit to REG at t>=EMB ; to PUB at (t>=EMB2 && (remed || t>=EMB2+RMAX))
 *          oblige REG by EMB+G;  PUB by EMB2+RMAX+G
 *   HAZ  : permit to REG on order or emergency(two-key) ; NEVER to PUB
 * holds: lab may extend EMB by at most HMAX in total, only while the item is not RELEASED
 */
#define T    14
#define EMB0 3
#define EMB2 6
#define RMAX 3
#define G    2
#define D_REG 2
#define HMAX 2
#ifndef ESC_OK
#define ESC_OK 1
#endif
mtype = { SEALED, RELEASED };
byte t = 0; byte hold = 0;
bool closed=0, delivered=0, consent=0, remed=0, order=0, emA=0, emR=0;
bool audStopped=0, breachA=0, earlyPub=0, hazPub=0;
mtype aggReg=SEALED, aggPub=SEALED, taskReg=SEALED, taskPub=SEALED, hazReg=SEALED;
bool flaggedEarly=0; /* what an offline verifier of the release log would output */
#define EMB (EMB0+hold)
#define pAggReg (closed)
#define pAggPub (closed && (consent || t>=EMB))
#define pTaskReg (closed && t>=EMB)
#ifdef ENDLESS_VETO
#define pTaskPub (closed && t>=EMB2+hold && remed)
#else
#define pTaskPub (closed && t>=EMB2+hold && (remed || t>=EMB2+hold+RMAX))
#endif
#define pHazReg (closed && (order || (emA && emR)))
#define oAggReg (delivered && t>=D_REG+1)
#define oAggPub (delivered && t>=EMB+G)
#define oTaskReg (delivered && t>=EMB+G)
#ifdef UNSHIFTED
#define oTaskPub (delivered && t>=EMB2+RMAX)
#else
#define oTaskPub (delivered && t>=EMB2+hold+RMAX+G)
#endif

proctype Clock(){ end0: do :: atomic{ t<T -> t++ } :: t==T -> break od }
proctype Lab(){
  end1: do
  :: atomic{ !consent -> consent=1 }
  :: atomic{ !remed -> remed=1 }
#ifdef FREE_HOLDS
  :: atomic{ hold<HMAX -> hold++ }
#else
  :: atomic{ hold<HMAX && t<EMB && aggPub==SEALED && taskReg==SEALED && taskPub==SEALED -> hold++ } /* bounded, only before expiry and before anything governed by it was released */
#endif
  :: break
  od }
proctype Regulator(){
  end2: do
  :: atomic{ !order -> order=1 }
  :: atomic{ !emR -> emR=1 }
  :: break
  od }
proctype Auditor(){
  atomic{ closed=1 };
  atomic{ delivered=1 };            /* sealed packages + escrow shares BEFORE any grading result is public */
  end3: do
  :: atomic{ pAggReg && aggReg==SEALED -> aggReg=RELEASED }
  :: atomic{ pAggPub && aggPub==SEALED -> aggPub=RELEASED }
  :: atomic{ pTaskReg && taskReg==SEALED -> taskReg=RELEASED }
  :: atomic{ pTaskPub && taskPub==SEALED -> taskPub=RELEASED }
  :: atomic{ pHazReg && hazReg==SEALED -> hazReg=RELEASED }
  :: atomic{ !emA -> emA=1 }
#ifdef LEAKY
  :: atomic{ !pTaskPub && taskPub==SEALED -> taskPub=RELEASED; earlyPub=1; flaggedEarly=1 } /* release log entry evaluates to DISCLOSURE_EARLY */
#endif
  :: atomic{ audStopped=1 } -> break   /* crash / withhold forever */
  od }
proctype Escrow(){
#if ESC_OK
  end4: do
  :: atomic{ oAggReg  && aggReg==SEALED  -> aggReg=RELEASED }
  :: atomic{ oAggPub  && aggPub==SEALED  -> aggPub=RELEASED }
  :: atomic{ oTaskReg && taskReg==SEALED -> taskReg=RELEASED }
  :: atomic{ oTaskPub && taskPub==SEALED -> taskPub=RELEASED }
  :: (t==T && aggReg==RELEASED && aggPub==RELEASED && taskReg==RELEASED && taskPub==RELEASED) -> break
  od
#endif
  skip }
/* safety monitor */
active proctype Monitor(){
  endm: do
  :: atomic{ (taskPub==RELEASED && !pTaskPub && !flaggedEarly) -> assert(false) }   /* no unflagged early release: also catches un-permit after permit */
  :: atomic{ (aggPub==RELEASED && !pAggPub) -> assert(false) }
  :: atomic{ (taskReg==RELEASED && !pTaskReg) -> assert(false) }
  :: atomic{ (hazReg==RELEASED && !pHazReg) -> assert(false) }
  :: atomic{ (hold>HMAX) -> assert(false) }
  :: atomic{ (oAggPub && !pAggPub) -> assert(false) }   /* obligation implies permission */
  :: atomic{ (oTaskReg && !pTaskReg) -> assert(false) }
  :: atomic{ (oTaskPub && !pTaskPub) -> assert(false) }
  :: atomic{ (oAggReg && !pAggReg) -> assert(false) }
  od }
init { atomic{ run Clock(); run Lab(); run Regulator(); run Auditor(); run Escrow() } }
ltl live { [] ( delivered -> <> (aggReg==RELEASED && aggPub==RELEASED && taskReg==RELEASED && taskPub==RELEASED) ) }
