/** Parts of English-looking words: what may stand before a vowel, vowels, and what may end a word. */
const onsets =
  'b,bl,br,c,ch,cl,cr,d,dr,f,fl,fr,g,gl,gr,h,j,k,kn,l,m,n,p,ph,pl,pr,qu,r,s,sc,sh,sk,sl,sm,sn,sp,st,str,sw,t,th,tr,tw,v,w,wh,y,z,'.split(
    ',',
  );
const vowels = 'a,a,a,e,e,e,i,i,o,o,u,ai,ea,ee,ie,oa,oo,ou,ay,y'.split(',');
const codas = ',,,,b,ck,d,g,l,ld,ll,m,mp,n,nd,ng,nk,nt,p,r,rd,rn,rs,s,sh,ss,st,t,th,tt,x,ing,er,ed,s,es'.split(',');

/** A word that nobody has seen before: a text full of them can only be continued by copying. */
export function invented(r) {
  let word = '';
  for (let syllables = r.pick([1, 1, 1, 2, 2, 3]); syllables > 0; syllables--) {
    word += r.pick(onsets) + r.pick(vowels) + (syllables === 1 || r.chance(0.25) ? r.pick(codas) : '');
  }
  return word.length > 1 ? word : `${word}n`;
}
